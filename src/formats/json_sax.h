// Events of a JSON text, for readers that build their own structures: nlohmann-json's parser with errors as Status.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/status.h"

namespace damask::formats {

// Handlers return false to stop, after Fail has said why.
class JsonSax : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool binary(binary_t&) override { return false; }  // JSON texts have none
  bool parse_error(size_t position, const std::string& last_token, const nlohmann::json::exception& error) override;

  const Status& status() const { return status_; }

 protected:
  bool Fail(Status status) {
    status_ = std::move(status);
    return false;
  }

 private:
  Status status_;
};

// Feeds `text` to the handler. Errors: BadFormat with the byte offset for what is no JSON (RFC 8259; a byte order mark at the
// start is skipped), else what the handler said, with the offset reached. Depth is the handler's business: the parser
// itself does not recurse.
Status RunJsonSax(std::string_view text, JsonSax* handler);

}  // namespace damask::formats
