// damask serve: an HTTP server over one model, from the open port to the last drained answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "server/access.h"
#include "server/background.h"
#include "server/http_server.h"
#include "server/router.h"
#include "server/served_model.h"

namespace damask::server {

struct ServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  // 0: a free one
  HttpLimits http;
  AccessRules access;
  ServedModelOptions model;
};

class Server {
 public:
  // Opens the port and answers at once, with 503 until Load has ended. Raises the process's limit of open files as far as the
  // system lets it. Errors: those of HttpServer::Listen.
  static Result<std::unique_ptr<Server>> Listen(const ServerOptions& options);
  ~Server();

  // Loads the model and begins to serve. Errors: those of ServedModel::Load.
  Status Load();

  // Nothing new is taken on; what is under way may end within `seconds`, then it is cut off. False where something was.
  bool Drain(double seconds);

  uint16_t port() const { return http_->port(); }
  std::string url() const;  // "http://127.0.0.1:8080"
  const ServedModel& model() const { return *model_; }

 private:
  explicit Server(const ServerOptions& options);
  static Result<std::unique_ptr<Server>> ListenWithThreads(const ServerOptions& options);  // std::system_error: no thread

  ServerOptions options_;
  Background background_;
  std::shared_ptr<Router> router_;
  std::unique_ptr<ServedModel> model_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace damask::server
