// The directory of the prefix files, held open: every name is one of our own making, opened relative to it and never through a
// symbolic link, so nothing outside can be reached. Thread-safe, as the system's calls are.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/descriptor.h"
#include "base/function_ref.h"
#include "base/status.h"

namespace damask::batching {

class PrefixDirectory {
 public:
  // Made where it does not exist, for its owner only, with the folders above it; removes what killed writers left behind.
  // Errors: Io, InvalidArgument.
  static Result<std::unique_ptr<PrefixDirectory>> Open(const std::string& path);

  // "HASH-FIRST.kv".
  static std::string NameOf(const std::array<uint64_t, 2>& hash, uint64_t first_block);
  static bool IsName(std::string_view name);

  struct Entry {
    std::string name;
    uint64_t bytes = 0;
    int64_t used = 0;  // nanoseconds since 1970: the time of its last use
  };
  // Regular files with names of ours.
  Result<std::vector<Entry>> List() const;

  // NotFound where it has gone; Io for what is no regular file.
  Result<Descriptor> OpenFile(const std::string& name) const;
  // Calls fill(fd) for a temporary, syncs it and renames it: `name` is the file that was there or the whole new one. Before
  // anything is written room for `bytes` is asked for.
  Status Write(const std::string& name, uint64_t bytes, int64_t used, FunctionRef<Status(int fd)> fill) const;
  // Whether it is gone now.
  bool Remove(const std::string& name) const;
  void SetUsed(const std::string& name, int64_t used) const;

  // For messages: quoted.
  std::string Where(const std::string& name) const;

 private:
  PrefixDirectory(std::string path, Descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  Result<std::vector<std::string>> Names() const;
  void RemoveLeftovers(const std::vector<std::string>& names) const;
  Result<std::pair<Descriptor, std::string>> CreateTemporary() const;

  std::string path_;
  Descriptor fd_;
};

}  // namespace damask::batching
