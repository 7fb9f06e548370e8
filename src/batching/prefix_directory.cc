#include "batching/prefix_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::batching {
namespace {

constexpr int64_t kNanoseconds = 1'000'000'000;
constexpr std::string_view kSuffix = ".kv";
constexpr std::string_view kTemporaryPrefix = "damask-";
constexpr std::string_view kTemporarySuffix = ".kv.part";

Status SystemError(const char* what) { return IoError(fmt::format("{}: {}", what, std::strerror(errno))); }

bool AllDigits(std::string_view text, size_t max_length) {
  return !text.empty() && text.size() <= max_length && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "damask-PID-COUNT.kv.part"
bool IsTemporary(std::string_view name) {
  if (!name.starts_with(kTemporaryPrefix) || !name.ends_with(kTemporarySuffix)) return false;
  if (name.size() < kTemporaryPrefix.size() + kTemporarySuffix.size()) return false;
  name = name.substr(kTemporaryPrefix.size(), name.size() - kTemporaryPrefix.size() - kTemporarySuffix.size());
  const size_t dash = name.find('-');
  return dash != std::string_view::npos && AllDigits(name.substr(0, dash), 20) && AllDigits(name.substr(dash + 1), 20);
}

// False with errno. The folders above it are the user's own (~/.cache): they get the modes that he wants for new ones.
bool Make(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const bool last = path.find_first_not_of('/', slash) == std::string::npos;
    if (!last && mkdir(path.substr(0, slash).c_str(), 0777) != 0 && errno != EEXIST) break;  // the last one tells why
  }
  return mkdir(path.c_str(), 0700) == 0 || errno == EEXIST;
}

std::array<timespec, 2> Times(int64_t used) {
  timespec at = {};
  at.tv_sec = used / kNanoseconds;
  at.tv_nsec = used % kNanoseconds;
  return {at, at};
}

}  // namespace

Result<std::unique_ptr<PrefixDirectory>> PrefixDirectory::Open(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return InvalidArgument("the directory's name is empty or has a NUL byte").At(Quote(path, 300));
  }
  if (!Make(path)) return SystemError("cannot make").At(Quote(path, 300));
  Descriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return SystemError("cannot open").At(Quote(path, 300));
  std::unique_ptr<PrefixDirectory> directory(new PrefixDirectory(path, std::move(fd)));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<std::string> names, directory->Names());
  directory->RemoveLeftovers(names);
  return directory;
}

std::string PrefixDirectory::NameOf(const std::array<uint64_t, 2>& hash, uint64_t first_block) {
  return fmt::format("{:016x}{:016x}-{}{}", hash[1], hash[0], first_block, kSuffix);
}

bool PrefixDirectory::IsName(std::string_view name) {
  constexpr size_t kHashDigits = 32;
  if (name.size() <= kHashDigits + 1 + kSuffix.size() || !name.ends_with(kSuffix) || name[kHashDigits] != '-') return false;
  const std::string_view number = name.substr(kHashDigits + 1, name.size() - kHashDigits - 1 - kSuffix.size());
  return name.substr(0, kHashDigits).find_first_not_of("0123456789abcdef") == std::string_view::npos && AllDigits(number, 9);
}

Result<std::vector<std::string>> PrefixDirectory::Names() const {
  // A stream of its own: the descriptor's reading position is shared by whoever duplicates it.
  Descriptor own(openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (own.get() < 0) return SystemError("cannot open").At(Quote(path_, 300));
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(own.get()), closedir);
  if (stream == nullptr) return SystemError("cannot list").At(Quote(path_, 300));
  own.Release();  // the stream's now
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(stream.get());  // NOLINT(concurrency-mt-unsafe): the stream is this call's own
    if (entry == nullptr) break;
    if (IsName(entry->d_name) || IsTemporary(entry->d_name)) names.emplace_back(entry->d_name);
  }
  if (errno != 0) return SystemError("cannot list").At(Quote(path_, 300));
  return names;
}

void PrefixDirectory::RemoveLeftovers(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (!IsTemporary(name)) continue;
    // A writer holds a lock on its temporary as long as it lives.
    const Descriptor fd(openat(fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat info = {};
    if (fd.get() < 0 || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (flock(fd.get(), LOCK_EX | LOCK_NB) == 0) unlinkat(fd_.get(), name.c_str(), 0);
  }
}

Result<std::vector<PrefixDirectory::Entry>> PrefixDirectory::List() const {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<std::string> names, Names());
  std::vector<Entry> entries;
  for (const std::string& name : names) {
    struct stat info = {};
    if (!IsName(name) || fstatat(fd_.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode)) continue;
    const int64_t used = info.st_mtim.tv_sec * kNanoseconds + info.st_mtim.tv_nsec;
    entries.push_back({name, static_cast<uint64_t>(info.st_size), used});
  }
  return entries;
}

Result<Descriptor> PrefixDirectory::OpenFile(const std::string& name) const {
  Descriptor fd(openat(fd_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0 && errno == ENOENT) return NotFound("is gone").At(Where(name));
  if (fd.get() < 0) return SystemError("cannot open").At(Where(name));
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0) return SystemError("cannot stat").At(Where(name));
  if (!S_ISREG(info.st_mode)) return IoError("is not a regular file").At(Where(name));
  return fd;
}

Result<std::pair<Descriptor, std::string>> PrefixDirectory::CreateTemporary() const {
  static std::atomic<uint64_t> counter{0};
  for (int attempt = 0;; ++attempt) {
    std::string name = fmt::format("{}{}-{}{}", kTemporaryPrefix, getpid(), counter.fetch_add(1), kTemporarySuffix);
    Descriptor fd(openat(fd_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd.get() >= 0) {
      flock(fd.get(), LOCK_EX | LOCK_NB);  // tells RemoveLeftovers of other processes that this one lives
      return std::pair{std::move(fd), std::move(name)};
    }
    if (errno != EEXIST || attempt == 1000) return SystemError("cannot create");
  }
}

Status PrefixDirectory::Write(const std::string& name, uint64_t bytes, int64_t used, FunctionRef<Status(int fd)> fill) const {
  auto temporary = CreateTemporary();
  if (!temporary.ok()) return temporary.status().At(Where(name));
  Descriptor& fd = temporary->first;
  Status status;
  // A full disk is found out before the writing. Where a file system cannot do this, the writing itself finds out.
  if (fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR) {
    status = SystemError("no room");
  }
  if (status.ok()) status = fill(fd.get());
  const std::array<timespec, 2> times = Times(used);
  if (status.ok() && futimens(fd.get(), times.data()) != 0) status = SystemError("cannot date");
  if (status.ok() && fsync(fd.get()) != 0) status = SystemError("cannot sync");
  if (status.ok() && renameat(fd_.get(), temporary->second.c_str(), fd_.get(), name.c_str()) != 0) {
    status = SystemError("cannot replace");
  }
  if (!status.ok()) {
    unlinkat(fd_.get(), temporary->second.c_str(), 0);
    return status.At(Where(name));
  }
  fsync(fd_.get());  // makes the name last; some file systems cannot: the file is whole all the same
  return {};
}

bool PrefixDirectory::Remove(const std::string& name) const {
  return unlinkat(fd_.get(), name.c_str(), 0) == 0 || errno == ENOENT;
}

void PrefixDirectory::SetUsed(const std::string& name, int64_t used) const {
  // On a read-only file system the order of use is lost, nothing else.
  const std::array<timespec, 2> times = Times(used);
  utimensat(fd_.get(), name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
}

std::string PrefixDirectory::Where(const std::string& name) const { return Quote(path_ + "/" + name, 300); }

}  // namespace damask::batching
