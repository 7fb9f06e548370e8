// Writing files that are never seen half-written.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/descriptor.h"
#include "base/status.h"

namespace damask {

// Writes to a temporary beside the file, fsyncs, renames: readers see the old file or the whole new one, and after an error the
// old one is as it was. A file that is there keeps its permissions; behind a symbolic link the file that it names is replaced.
// What is there and no regular file (a pipe, a terminal, /dev/null) is written to, and so is whatever /dev/stdout, /dev/stderr
// or /dev/fd/N leads to, a file to which it was redirected too: behind what stands there. `written`: as for AtomicFile::Commit.
// Errors: WriteFailed.
Status WriteFileAtomically(const std::string& path, std::string_view bytes, struct stat* written = nullptr);

// The same for what is too long to be held: piece by piece, the file is in its place with Commit. A pipe or a device gets each
// piece at once.
class AtomicFile {
 public:
  // Errors: those of CheckFileName, WriteFailed.
  static Result<std::unique_ptr<AtomicFile>> Create(const std::string& path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  // Without Commit, or after an error, what was at `path` is as it was.
  ~AtomicFile();

  Status Append(std::string_view bytes);
  // Nothing can be appended after it. `written`: what the file is, even if another one has taken its place since.
  Status Commit(struct stat* written = nullptr);

 private:
  explicit AtomicFile(std::string path) : path_(std::move(path)), fd_(-1) {}

  std::string path_;       // behind symbolic links
  std::string temporary_;  // empty: none, as for a pipe, or no longer
  Descriptor fd_;
};

// Removes the temporaries of files that are being written: for a handler of a signal that ends the program, where nothing else
// cleans up. Async-signal-safe; those files can then no longer be committed.
void RemoveTemporaries();

// Whether WriteFileAtomically can begin, before hours of work: makes its temporary and removes it again.
Status CheckWritable(const std::string& path);

}  // namespace damask
