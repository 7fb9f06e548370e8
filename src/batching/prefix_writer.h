// Writes prefix files on a thread of its own. The pages of a write are owned by its reference until the scheduler's thread has
// taken the finished write back, since only that thread may count owners.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "batching/prefix_directory.h"
#include "batching/prefix_file.h"

namespace damask::batching {

struct PrefixWrite {
  std::string name;
  PrefixFileHead head;            // checksums are filled in by the writer
  std::vector<std::byte*> pages;  // of its blocks, one block after another
  uint64_t bytes = 0;             // of the file
  int64_t used = 0;
  std::vector<std::string> remove;  // files that make room, before this one is written
  bool replaces = false;            // as does an old one of this name
  Status status = {StatusCode::kCancelled, "never begun"};
};

class PrefixWriter {
 public:
  // `directory` outlives the writer. Io where no thread can be started.
  static Result<std::unique_ptr<PrefixWriter>> Start(const PrefixDirectory* directory, const PrefixFileShape& shape);
  PrefixWriter(const PrefixWriter&) = delete;
  PrefixWriter& operator=(const PrefixWriter&) = delete;
  ~PrefixWriter() { Stop(); }

  // Lists, so that a write changes hands without new memory: what it owns cannot be lost on the way.
  void Push(std::list<PrefixWrite> writes);
  // What is done since the last call, in the order of Push.
  std::list<PrefixWrite> TakeDone();
  // Waits until all that was pushed is done.
  void Wait();
  // Waits for the write that has begun. All that was pushed and not taken back can be taken afterwards.
  void Stop();

 private:
  PrefixWriter(const PrefixDirectory* directory, const PrefixFileShape& shape) : directory_(directory), shape_(shape) {}
  void Loop();
  void Write(PrefixWrite* write) const;

  const PrefixDirectory* directory_;
  const PrefixFileShape shape_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<PrefixWrite> queue_;
  std::list<PrefixWrite> done_;
  bool busy_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace damask::batching
