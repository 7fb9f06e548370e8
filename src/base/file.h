// Reading files that nobody vouches for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/aligned.h"
#include "base/status.h"

namespace damask {

enum class LoadMode {
  kMap,   // mmap: pages come from the file as they are touched; a file that shrinks meanwhile may end the process
  kRead,  // pread everything into memory: immune to a file that changes
};

// The bytes of a regular file, read-only, alive as long as the object. Copies of the shared_ptr are cheap.
// Directories, devices, FIFOs: Io. Thread-safe.
class FileBytes {
 public:
  static Result<std::shared_ptr<const FileBytes>> Open(const std::string& path, LoadMode mode);
  // Bytes that are no file (the embedded model, a test): not owned, must outlive the object.
  static std::shared_ptr<const FileBytes> Borrow(std::span<const std::byte> bytes, std::string name);

  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes();

  std::span<const std::byte> bytes() const { return bytes_; }
  uint64_t size() const { return bytes_.size(); }
  const std::string& path() const { return path_; }

 private:
  FileBytes() = default;

  std::string path_;
  std::span<const std::byte> bytes_;
  void* mapping_ = nullptr;
  std::unique_ptr<std::byte[], FreeDeleter> storage_;
};

// The whole of a regular file, at most `max_bytes` (TooLarge beyond).
Result<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes);

// Standard input until its end, at most `max_bytes` (TooLarge beyond); a signal that is handled meanwhile: Cancelled.
Result<std::string> ReadStandardInput(uint64_t max_bytes);

// As ReadTextFile; pipes and character devices (a shell's <(command), /dev/stdin) are read to their end, which may wait.
Result<std::string> ReadDocumentFile(const std::string& path, uint64_t max_bytes);

bool IsDirectory(const std::string& path);
bool FileExists(const std::string& path);

}  // namespace damask
