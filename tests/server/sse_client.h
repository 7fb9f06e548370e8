// The client's side of a stream of server-sent events.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/server/raw_client.h"

namespace damask::server {

class SseClient {
 public:
  // Sends the request and reads the head of the answer.
  SseClient(uint16_t port, std::string_view path, nlohmann::json body) : client_(port) {
    body["stream"] = true;
    if (!client_.Send(RawClient::Request("POST", path, body.dump()))) return;
    if (const std::optional<RawResponse> head = client_.ReadHead()) head_ = *head;
  }

  int status() const { return head_.status; }
  const RawResponse& head() const { return head_; }
  RawClient& client() { return client_; }

  // The next data; nothing at the end. Comments are counted, anything else makes the stream broken.
  std::optional<std::string> NextData() {
    while (const std::optional<std::string> event = client_.ReadEvent()) {
      if (event->rfind("data: ", 0) == 0) return event->substr(6);
      if (*event != ":") {
        broken_ = *event;
        return std::nullopt;
      }
      ++comments_;
    }
    return std::nullopt;
  }

  // Everything to the end: text of any of the three APIs, and the events.
  void ReadAll() {
    while (const std::optional<std::string> data = NextData()) {
      if (done_) broken_ = "behind [DONE]: " + *data;
      if (*data == "[DONE]") {
        done_ = true;
        continue;
      }
      events_.push_back(nlohmann::json::parse(*data, nullptr, false));
      const nlohmann::json& event = events_.back();
      if (!event.is_object()) {
        broken_ = *data;
        return;
      }
      AddText(event);
    }
    std::string rest;
    whole_ = client_.ReadBodyToEnd(&rest) && rest.empty();
  }

  const std::vector<nlohmann::json>& events() const { return events_; }
  const std::string& text() const { return text_; }
  size_t comments() const { return comments_; }
  bool done() const { return done_; }    // [DONE] came
  bool whole() const { return whole_; }  // the body came to its end
  const std::string& broken() const { return broken_; }
  // The last finish_reason or stop_type; "" where there was none.
  const std::string& finish() const { return finish_; }

 private:
  void AddText(const nlohmann::json& event) {
    if (event.contains("content")) text_ += event["content"].get<std::string>();
    if (event.contains("stop_type")) finish_ = event["stop_type"];
    if (!event.contains("choices") || event["choices"].empty()) return;
    const nlohmann::json& choice = event["choices"][0];
    if (choice.contains("text")) text_ += choice["text"].get<std::string>();
    if (choice.contains("delta")) text_ += choice["delta"].value("content", "");
    if (choice["finish_reason"].is_string()) finish_ = choice["finish_reason"];
  }

  RawClient client_;
  RawResponse head_;
  std::vector<nlohmann::json> events_;
  std::string text_;
  std::string finish_;
  std::string broken_;
  size_t comments_ = 0;
  bool done_ = false;
  bool whole_ = false;
};

}  // namespace damask::server
