// Bytes as files in memory, and errors looked at closely.
#pragma once

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

namespace damask::formats::test {

// A copy of `bytes` on the heap, exactly as long as they are: a read past the end is a fault under ASan.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view bytes) : bytes_(new std::byte[bytes.size()]) {
    if (!bytes.empty()) std::memcpy(bytes_.get(), bytes.data(), bytes.size());
    file_ = FileBytes::Borrow({bytes_.get(), bytes.size()}, "memory");
  }
  const std::shared_ptr<const FileBytes>& file() const { return file_; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::shared_ptr<const FileBytes> file_;
};

// A parsed model and the bytes it points to.
template <typename Model>
struct Parsed {
  std::unique_ptr<MemoryFile> memory;
  Result<std::shared_ptr<const Model>> result;

  bool ok() const { return result.ok(); }
  const Status& status() const { return result.status(); }
  const Model* operator->() const { return result->get(); }
};

inline Parsed<GgufFile> ParseGguf(std::string_view bytes, const GgufOpenOptions& options = {}) {
  auto memory = std::make_unique<MemoryFile>(bytes);
  auto result = GgufFile::Parse(memory->file(), options);
  return {std::move(memory), std::move(result)};
}

inline Parsed<SafetensorsFiles> ParseSafetensors(std::string_view bytes) {
  auto memory = std::make_unique<MemoryFile>(bytes);
  auto result = SafetensorsFiles::Parse(memory->file());
  return {std::move(memory), std::move(result)};
}

// The error's code, and that its line holds every one of `parts`. A line for people has no line breaks.
inline void ExpectError(const Status& status, StatusCode code, std::initializer_list<std::string_view> parts = {}) {
  const std::string line = status.ToString();
  EXPECT_EQ(StatusCodeName(status.code()), std::string_view(StatusCodeName(code))) << line;
  for (const std::string_view part : parts) EXPECT_NE(line.find(part), std::string::npos) << "no '" << part << "' in: " << line;
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
}

inline void ExpectBadGguf(std::string_view bytes, StatusCode code, std::initializer_list<std::string_view> parts = {}) {
  const Parsed<GgufFile> parsed = ParseGguf(bytes);
  ASSERT_FALSE(parsed.ok());
  ExpectError(parsed.status(), code, parts);
}

// Bytes asked of operator new while an object of it lives (allocation_watch.cc).
class AllocationWatch {
 public:
  AllocationWatch();
  size_t bytes() const;

 private:
  size_t start_;
};

}  // namespace damask::formats::test
