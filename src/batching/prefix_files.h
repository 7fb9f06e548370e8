// Prefixes on disk: which files a directory has, which blocks of a prompt they hold, reading them into a cache, and handing new
// ones to the writer. Used on one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "batching/prefix_directory.h"
#include "batching/prefix_file.h"
#include "batching/prefix_writer.h"
#include "model/kv_cache.h"

namespace damask::batching {

class PrefixFiles {
 public:
  // Pages of one file at most, and pages that writes not yet done may hold: what would be more is not written.
  static constexpr uint64_t kMaxFileBytes = uint64_t{256} << 20;
  static constexpr uint64_t kMaxQueuedBytes = uint64_t{1} << 30;

  // `pool` is not owned and outlives the object; `limit` bytes hold for all prefix files of the directory, whatever their
  // binding: what is there beyond it goes. Errors: Io, InvalidArgument.
  static Result<std::unique_ptr<PrefixFiles>> Open(const std::string& directory, uint64_t limit, const PrefixFileShape& shape,
                                                   model::PagePool* pool);
  PrefixFiles(const PrefixFiles&) = delete;
  PrefixFiles& operator=(const PrefixFiles&) = delete;
  ~PrefixFiles();

  // Up to which block, at most `blocks`, files hold those of `ids` from block `from` on; `from` where there is none.
  size_t Reach(std::span<const TokenId> ids, size_t from, size_t blocks) const;
  // Reads and checks them into `cache`, behind its length. A damaged file is passed over from then on; where the system will
  // not read one just now (too many open files), the reading ends before it and the file stays. Returns the new number of
  // blocks. OutOfMemory: some may have been appended.
  Result<size_t> Read(std::span<const TokenId> ids, size_t blocks, model::KvCache* cache);
  // Writes those of the first `blocks` blocks of `cache`, which hold `ids`, that no file has.
  void Keep(std::span<const TokenId> ids, size_t blocks, const model::KvCache& cache);
  // Makes the files of these blocks the most recently used ones.
  void Touch(std::span<const TokenId> ids, size_t blocks);

  // Takes back what the writer has done.
  void Collect();
  void Flush();

  uint64_t bytes() const { return bytes_; }  // including those being written
  uint64_t limit() const { return limit_; }
  uint64_t bad_files() const { return bad_files_; }
  uint64_t evicted_bytes() const { return evicted_bytes_; }

 private:
  enum class State {
    kReady,
    kPending,  // the writer has it
    kUseless,  // damaged or of another binding: takes up room, nothing else
  };
  struct File {
    uint64_t bytes = 0;
    int64_t used = 0;
    State state = State::kUseless;
    uint64_t first_block = 0;
    uint64_t end_block = 0;
    std::vector<TokenId> ids;

    size_t Matched(std::span<const TokenId> prompt, size_t blocks) const;
  };
  using Files = std::map<std::string, File>;
  using Names = std::vector<std::string>;

  PrefixFiles(std::unique_ptr<PrefixDirectory> directory, uint64_t limit, const PrefixFileShape& shape, model::PagePool* pool)
      : directory_(std::move(directory)), limit_(limit), shape_(shape), pool_(pool) {}
  Status ReadHeads();
  void Trim();
  // For each of the blocks a file that holds it, or end().
  std::vector<Files::iterator> Cover(std::span<const TokenId> ids, size_t blocks, bool pending) const;
  Status ReadRun(Files::iterator file, size_t end, model::KvCache* cache);
  Status Placed(const std::string& name, const Status& status) const;
  void Discard(Files::iterator file, const Status& why);
  void Forget(Files::iterator file);
  // Of whole blocks `ids`: those that no file has.
  void PrepareMissing(std::span<const TokenId> ids, const model::KvCache& cache, std::list<PrefixWrite>* writes);
  // Of blocks [first, end) of them; false where they cannot be kept.
  bool Prepare(std::span<const TokenId> ids, size_t first, size_t end, const model::KvCache& cache, PrefixWrite* write);
  void GiveBack(const PrefixWrite& write);
  bool TakePages(size_t first, size_t end, const model::KvCache& cache, std::vector<std::byte*>* pages);
  std::optional<Names> MakeRoom(uint64_t bytes, std::span<const TokenId> ids);
  bool Continued(const File& file, const std::set<const File*>& leaving) const;

  std::unique_ptr<PrefixDirectory> directory_;
  uint64_t limit_;
  PrefixFileShape shape_;
  model::PagePool* pool_;
  mutable Files files_;
  uint64_t bytes_ = 0;
  uint64_t queued_bytes_ = 0;
  int64_t last_used_ = 0;
  bool warned_ = false;       // of writes that fail, until one succeeds
  bool read_warned_ = false;  // the same of reading
  uint64_t bad_files_ = 0;
  uint64_t evicted_bytes_ = 0;
  std::unique_ptr<PrefixWriter> writer_;
};

}  // namespace damask::batching
