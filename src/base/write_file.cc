#include "base/write_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/descriptor.h"
#include "base/file_name.h"
#include "base/text.h"

namespace damask {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel

Status SystemError(const char* what, const std::string& path) {
  return WriteFailed(fmt::format("{}: {}", what, std::strerror(errno))).At(Quote(path, 300));
}

// The N of a name that stands for this process's descriptor N, /dev/stdout say. What lies behind it may be a regular file that
// others write to as well: it is written to where they are, never replaced.
std::optional<int> OwnDescriptor(std::string_view path) {
  if (path == "/dev/stdout") return STDOUT_FILENO;
  if (path == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    int number = -1;
    const char* const end = path.data() + path.size();
    const auto [rest, error] = std::from_chars(path.data() + folder.size(), end, number);
    if (error == std::errc() && rest == end && number >= 0) return number;
  }
  return std::nullopt;
}

// What is to be written: the file behind symbolic links, even where the last of them leads nowhere yet. What is no regular file
// keeps the name that was given: a shell's >(command) is a link without a name behind it.
struct Target {
  std::string path;
  bool exists = false;
  bool regular = true;
  mode_t mode = 0;
  std::optional<int> descriptor = std::nullopt;  // of this process, open already; regular is false then
};

Target OpenAlready(std::string path, int descriptor) {
  return {.path = std::move(path), .exists = true, .regular = false, .descriptor = descriptor};
}

Result<Target> FindTarget(const std::string& path) {
  DAMASK_RETURN_IF_ERROR(CheckFileName(path));
  if (const std::optional<int> own = OwnDescriptor(path)) return OpenAlready(path, *own);
  Target target{.path = path};
  struct stat info = {};
  if (stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    if (S_ISDIR(info.st_mode)) return WriteFailed("is a directory, expected a file").At(Quote(path, 300));
    target.exists = true;
    target.regular = false;
    return target;
  }
  for (int links = 0; lstat(target.path.c_str(), &info) == 0 && S_ISLNK(info.st_mode); ++links) {
    std::error_code error;
    const std::filesystem::path next = std::filesystem::read_symlink(target.path, error);
    if (error || links == kMaxLinks) return WriteFailed("is a symbolic link that leads nowhere").At(Quote(path, 300));
    target.path = (std::filesystem::path(target.path).parent_path() / next).string();
    if (const std::optional<int> own = OwnDescriptor(target.path)) return OpenAlready(path, *own);
  }
  if (stat(target.path.c_str(), &info) != 0) return target;
  target.exists = true;
  target.mode = info.st_mode & 07777;
  return target;
}

std::string DirectoryOf(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

// Names of temporaries where a signal handler finds them: in memory that is never given back, as it may look at any time, and
// without the lock, which it cannot take. A name that finds no place is one that such a signal leaves behind.
class TemporaryNames {
 public:
  void Add(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (Slot& slot : slots_) {
      if (slot.held.load() || name.size() >= sizeof(slot.name)) continue;
      std::memcpy(slot.name, name.c_str(), name.size() + 1);
      slot.held.store(true);
      return;
    }
  }
  void Drop(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (Slot& slot : slots_) {
      if (slot.held.load() && name == slot.name) slot.held.store(false);
    }
  }
  void UnlinkAll() const {
    for (const Slot& slot : slots_) {
      if (slot.held.load()) unlink(slot.name);
    }
  }

 private:
  struct Slot {
    std::atomic<bool> held{false};
    char name[4096];
  };
  static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers need it");
  std::mutex mutex_;
  Slot slots_[8];
};

TemporaryNames temporary_names;

// A file of our own beside `path`, to become it, under a name that nobody has: threads and leftovers of a killed process
// do not meet.
Result<std::pair<int, std::string>> CreateTemporary(const std::string& path) {
  static std::atomic<uint64_t> counter{0};
  for (int attempt = 0;; ++attempt) {
    std::string name = fmt::format("{}.damask.{}.{}.tmp", DirectoryOf(path), getpid(), counter.fetch_add(1));
    const int fd = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd >= 0) {
      temporary_names.Add(name);
      return std::pair{fd, std::move(name)};
    }
    if (errno != EEXIST || attempt == 1000) return SystemError("cannot create", path);
  }
}

void RemoveTemporary(const std::string& name) {
  unlink(name.c_str());
  temporary_names.Drop(name);
}

// Makes the new name itself last through a power cut. Some file systems cannot: the file is whole all the same.
void SyncDirectory(const std::string& directory) {
  const Descriptor fd(open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() >= 0) fsync(fd.get());
}

}  // namespace

Result<std::unique_ptr<AtomicFile>> AtomicFile::Create(const std::string& path) {
  DAMASK_ASSIGN_OR_RETURN(const Target target, FindTarget(path));
  std::unique_ptr<AtomicFile> file(new AtomicFile(target.path));
  if (!target.regular) {
    file->fd_ = Descriptor(target.descriptor ? fcntl(*target.descriptor, F_DUPFD_CLOEXEC, 0)
                                             : open(target.path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (file->fd_.get() < 0) return SystemError("cannot open", target.path);
    return file;
  }
  DAMASK_ASSIGN_OR_RETURN(auto temporary, CreateTemporary(target.path));
  file->fd_ = Descriptor(temporary.first);
  file->temporary_ = std::move(temporary.second);
  // Where the old file's permissions cannot be had, the new one has those of any new file.
  if (target.exists && fchmod(file->fd_.get(), target.mode) != 0) errno = 0;
  return file;
}

AtomicFile::~AtomicFile() {
  if (!temporary_.empty()) RemoveTemporary(temporary_);
}

Status AtomicFile::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t put = write(fd_.get(), bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return SystemError("cannot write", path_);
    bytes.remove_prefix(static_cast<size_t>(put));
  }
  return {};
}

Status AtomicFile::Commit(struct stat* written) {
  if (!temporary_.empty() && fsync(fd_.get()) != 0) return SystemError("cannot sync", path_);
  if (written != nullptr && fstat(fd_.get(), written) != 0) return SystemError("cannot look at", path_);
  if (close(fd_.Release()) != 0) return SystemError("cannot close", path_);
  if (temporary_.empty()) return {};
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return SystemError("cannot replace", path_);
  temporary_names.Drop(temporary_);
  temporary_.clear();
  SyncDirectory(DirectoryOf(path_));
  return {};
}

Status WriteFileAtomically(const std::string& path, std::string_view bytes, struct stat* written) {
  DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(path));
  DAMASK_RETURN_IF_ERROR(file->Append(bytes));
  return file->Commit(written);
}

void RemoveTemporaries() { temporary_names.UnlinkAll(); }

Status CheckWritable(const std::string& path) {
  DAMASK_ASSIGN_OR_RETURN(const Target target, FindTarget(path));
  if (target.descriptor) {
    const int flags = fcntl(*target.descriptor, F_GETFL);
    if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return {};
    errno = EBADF;  // as a write would say
    return SystemError("cannot write", target.path);
  }
  if (!target.regular) return access(target.path.c_str(), W_OK) == 0 ? Status() : SystemError("cannot write", target.path);
  DAMASK_ASSIGN_OR_RETURN(const auto temporary, CreateTemporary(target.path));
  close(temporary.first);
  RemoveTemporary(temporary.second);
  return {};
}

}  // namespace damask
