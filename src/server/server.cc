#include "server/server.h"

#include <sys/resource.h>

#include <chrono>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/no_thread.h"

namespace damask::server {
namespace {

// Threads that read and tokenize requests: the second keeps short ones flowing while a long document is being tokenized.
constexpr size_t kRequestReaders = 2;
// For the last bytes of answers that have ended.
constexpr std::chrono::milliseconds kLastBytes{2000};

// Every connection and every prefix file that is read is an open file, and the limit that programs are started with is made for
// old ones that cannot use more. Where it cannot be raised there are fewer connections.
void RaiseFileLimit() {
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= files.rlim_max) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

Server::Server(const ServerOptions& options)
    : options_(options),
      background_(kRequestReaders),
      router_(std::make_shared<Router>(options.access,
                                       [this](std::function<void()> work) { background_.Post(std::move(work)); })) {}

Result<std::unique_ptr<Server>> Server::Listen(const ServerOptions& options) {
  try {
    return ListenWithThreads(options);
  } catch (const std::system_error& error) {
    return NoThread(error);
  }
}

Result<std::unique_ptr<Server>> Server::ListenWithThreads(const ServerOptions& options) {
  RaiseFileLimit();
  std::unique_ptr<Server> server(new Server(options));
  DAMASK_ASSIGN_OR_RETURN(server->http_, HttpServer::Listen(options.host, options.port, options.http));
  server->http_->Start([router = server->router_](const std::shared_ptr<Exchange>& exchange) { router->Handle(exchange); },
                       [router = server->router_](int status, const std::string& message, const HttpRequest& head) {
                         return router->HttpError(status, message, head);
                       },
                       [router = server->router_](const HttpRequest& head) { return router->Refusal(head); });
  return server;
}

// Answers hold exchanges and exchanges call the scheduler: first the work ends, then the connections, then what both used.
Server::~Server() {
  background_.Stop();
  if (model_ != nullptr) {
    model_->scheduler().Stop();
    model_->answer_writer().Stop();  // what it writes asks the scheduler
  }
  http_.reset();
}

Status Server::Load() {
  try {
    DAMASK_ASSIGN_OR_RETURN(model_, ServedModel::Load(options_.model));
  } catch (const std::system_error& error) {
    return NoThread(error);
  }
  router_->SetModel(model_.get());
  return {};
}

bool Server::Drain(double seconds) {
  router_->SetStopping();
  http_->StopAccepting();
  bool whole = true;
  if (model_ != nullptr) {
    model_->scheduler().Drain();
    whole = model_->scheduler().WaitIdle(seconds);
    model_->scheduler().Stop();
  }
  return http_->Drain(kLastBytes) && whole;
}

std::string Server::url() const {
  const std::string address = http_->address();
  const bool v6 = address.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}", v6 ? "[" : "", address, v6 ? "]" : "", port());
}

}  // namespace damask::server
