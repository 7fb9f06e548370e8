// Which request goes where.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/access.h"
#include "server/http_message.h"
#include "server/served_model.h"

namespace damask::server {

class Router {
 public:
  // `later` runs longer work (reading and tokenizing a request) on another thread than the server's.
  Router(AccessRules rules, std::function<void(std::function<void()>)> later)
      : rules_(std::move(rules)), later_(std::move(later)) {}

  // Before this, everything that needs the model is answered with 503. Not owned; outlives every exchange.
  void SetModel(const ServedModel* model) { model_.store(model); }
  // From now on 503 again, but for what only looks.
  void SetStopping() { stopping_.store(true); }

  // What a request gets that may not come in, by its head alone: wrong Host or Origin, no key.
  std::optional<HttpResponse> Refusal(const HttpRequest& request) const;
  // An error of the HTTP layer in the API's shape; a page that may call can read it.
  HttpResponse HttpError(int status, const std::string& message, const HttpRequest& head) const;
  // Never throws; always answers.
  void Handle(const std::shared_ptr<Exchange>& exchange) const;

 private:
  struct Route;
  static const std::vector<Route>& Routes();
  void Dispatch(const Route& route, const std::shared_ptr<Exchange>& exchange) const;
  void AnswerLater(const Route& route, const ServedModel& model, const std::shared_ptr<Exchange>& exchange) const;
  HttpResponse Health() const;
  static bool IsOpenToAll(const std::string& path);
  HttpResponse OpenToAll(const std::string& path) const;

  const AccessRules rules_;
  const std::function<void(std::function<void()>)> later_;
  std::atomic<const ServedModel*> model_{nullptr};
  std::atomic<bool> stopping_{false};
};

}  // namespace damask::server
