#include "batching/prefix_files.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "base/log.h"

namespace damask::batching {

using kernels::kPageTokens;

// Blocks from the beginning that a prompt has in common with the file.
size_t PrefixFiles::File::Matched(std::span<const TokenId> prompt, size_t blocks) const {
  const size_t length = std::min(ids.size(), blocks * kPageTokens);
  const auto differs = std::mismatch(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(length), prompt.begin());
  return static_cast<size_t>(differs.first - ids.begin()) / kPageTokens;
}

Result<std::unique_ptr<PrefixFiles>> PrefixFiles::Open(const std::string& directory, uint64_t limit,
                                                       const PrefixFileShape& shape, model::PagePool* pool) {
  DAMASK_ASSIGN_OR_RETURN(auto opened, PrefixDirectory::Open(directory));
  std::unique_ptr<PrefixFiles> files(new PrefixFiles(std::move(opened), limit, shape, pool));
  DAMASK_RETURN_IF_ERROR(files->ReadHeads());
  files->Trim();
  DAMASK_ASSIGN_OR_RETURN(files->writer_, PrefixWriter::Start(files->directory_.get(), shape));
  return files;
}

PrefixFiles::~PrefixFiles() {
  if (writer_ == nullptr) return;
  writer_->Stop();
  Collect();
}

Status PrefixFiles::ReadHeads() {
  DAMASK_ASSIGN_OR_RETURN(const auto entries, directory_->List());
  for (const PrefixDirectory::Entry& entry : entries) {
    const auto file = files_.emplace(entry.name, File{.bytes = entry.bytes, .used = entry.used}).first;
    bytes_ += entry.bytes;
    last_used_ = std::max(last_used_, entry.used);
    const Result<Descriptor> fd = directory_->OpenFile(entry.name);
    Result<PrefixFileHead> head = fd.ok() ? ReadPrefixHead(fd->get(), shape_) : fd.status();
    if (head.status().code() == StatusCode::kIo) {
      // Not known to be damaged, but what is in it is not known either: it only takes up room.
      LogWarning("prefix file not read: " + Placed(entry.name, head.status()).ToString());
      continue;
    }
    if (!head.ok()) {
      // A sound file of another binding is somebody's; it only takes up room.
      if (head.status().code() != StatusCode::kUnsupported) Discard(file, head.status());
      continue;
    }
    file->second.first_block = head->first_block;
    file->second.end_block = head->end_block;
    file->second.ids = std::move(head->ids);
    file->second.state = State::kReady;
  }
  return {};
}

// What is there may be more than the limit: it was another one, or another process wrote.
void PrefixFiles::Trim() {
  const std::optional<Names> gone = MakeRoom(0, {});
  if (!gone) return;
  for (const std::string& name : *gone) directory_->Remove(name);
}

std::vector<PrefixFiles::Files::iterator> PrefixFiles::Cover(std::span<const TokenId> ids, size_t blocks, bool pending) const {
  std::vector<Files::iterator> cover(blocks, files_.end());
  for (auto file = files_.begin(); file != files_.end(); ++file) {
    const File& f = file->second;
    if (f.state == State::kUseless || (f.state == State::kPending && !pending)) continue;
    const size_t matched = f.Matched(ids, blocks);
    for (size_t block = f.first_block; block < matched; ++block) cover[block] = file;
  }
  return cover;
}

size_t PrefixFiles::Reach(std::span<const TokenId> ids, size_t from, size_t blocks) const {
  const auto cover = Cover(ids, blocks, false);
  while (from < blocks && cover[from] != files_.end()) ++from;
  return from;
}

Result<size_t> PrefixFiles::Read(std::span<const TokenId> ids, size_t blocks, model::KvCache* cache) {
  size_t block = cache->length() / kPageTokens;
  auto cover = Cover(ids, blocks, false);
  while (block < blocks && cover[block] != files_.end()) {
    const auto file = cover[block];
    size_t end = block + 1;
    while (end < blocks && cover[end] == file) ++end;
    const Status status = ReadRun(file, end, cache);
    block = cache->length() / kPageTokens;
    if (status.ok()) {
      read_warned_ = false;
      continue;
    }
    if (status.code() == StatusCode::kOutOfMemory) return status;
    if (status.code() == StatusCode::kIo) {
      // The file may be as good as ever.
      if (!std::exchange(read_warned_, true)) LogWarning("prefix file not read: " + Placed(file->first, status).ToString());
      break;
    }
    Discard(file, status);
    cover = Cover(ids, blocks, false);  // another file may hold the same blocks
  }
  return block;
}

// Appends the file's blocks up to `end`. The head is read again: the file may be another one than when it was listed.
Status PrefixFiles::ReadRun(Files::iterator file, size_t end, model::KvCache* cache) {
  DAMASK_ASSIGN_OR_RETURN(const Descriptor fd, directory_->OpenFile(file->first));
  DAMASK_ASSIGN_OR_RETURN(const PrefixFileHead head, ReadPrefixHead(fd.get(), shape_));
  if (head.first_block != file->second.first_block || head.ids != file->second.ids) {
    return BadFormat("was replaced by one of another text");
  }
  std::vector<std::byte*> pages;
  for (size_t block = cache->length() / kPageTokens; block < end; ++block) {
    DAMASK_RETURN_IF_ERROR(cache->Reserve((block + 1) * kPageTokens));
    cache->BlockPages(block, &pages);
    if (Status status = ReadPrefixBlock(fd.get(), shape_, head, block, pages); !status.ok()) {
      cache->Truncate(block * kPageTokens);
      return status;
    }
    cache->Commit((block + 1) * kPageTokens);
  }
  return {};
}

// With the file's name, if it has none yet.
Status PrefixFiles::Placed(const std::string& name, const Status& status) const {
  return status.where().empty() ? status.At(directory_->Where(name)) : status;
}

void PrefixFiles::Discard(Files::iterator file, const Status& why) {
  if (why.code() == StatusCode::kNotFound) {  // another process needed the room
    Forget(file);
    return;
  }
  ++bad_files_;
  LogWarning("prefix file passed over: " + Placed(file->first, why).ToString());
  file->second.state = State::kUseless;
  file->second.ids = {};
}

void PrefixFiles::Forget(Files::iterator file) {
  bytes_ -= file->second.bytes;
  files_.erase(file);
}

void PrefixFiles::Keep(std::span<const TokenId> ids, size_t blocks, const model::KvCache& cache) {
  Collect();
  blocks = std::min<size_t>(blocks, kMaxPrefixBlocks);
  const auto strange = [&](TokenId id) { return id < 0 || static_cast<uint64_t>(id) >= shape_.vocab; };
  const auto kept = ids.first(blocks * kPageTokens);
  if (std::any_of(kept.begin(), kept.end(), strange)) return;  // no reader would take it
  std::list<PrefixWrite> writes;
  try {
    PrepareMissing(kept, cache, &writes);
    Touch(ids, blocks);
  } catch (const std::bad_alloc&) {
    // What has been prepared is whole, and only the writer gives its pages back.
  }
  for (PrefixWrite& write : writes) write.used = files_.at(write.name).used;
  writer_->Push(std::move(writes));
}

void PrefixFiles::PrepareMissing(std::span<const TokenId> ids, const model::KvCache& cache, std::list<PrefixWrite>* writes) {
  const size_t blocks = ids.size() / kPageTokens;
  const size_t step = std::max<size_t>(1, kMaxFileBytes / shape_.block_bytes());
  const auto cover = Cover(ids, blocks, true);
  for (size_t first = 0; first < blocks;) {
    size_t end = first;
    while (end < blocks && end - first < step && cover[end] == files_.end()) ++end;
    if (end > first) {
      std::list<PrefixWrite> write(1);
      if (!Prepare(ids, first, end, cache, &write.front())) return;
      writes->splice(writes->end(), write);
    }
    first = std::max(end, first + 1);
  }
}

// Whatever it throws, nothing has then changed.
bool PrefixFiles::Prepare(std::span<const TokenId> ids, size_t first, size_t end, const model::KvCache& cache,
                          PrefixWrite* write) {
  const uint64_t page_bytes = (end - first) * shape_.block_bytes();
  if (queued_bytes_ + page_bytes > kMaxQueuedBytes && queued_bytes_ > 0) return false;
  write->head.first_block = first;
  write->head.end_block = end;
  write->head.ids.assign(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(end * kPageTokens));
  write->name = PrefixDirectory::NameOf(HashOfIds(shape_, write->head.ids), first);
  write->bytes = PrefixFileBytes(shape_, first, end);
  const auto there = files_.find(write->name);
  if (there != files_.end() && there->second.state != State::kUseless) return false;
  Files entry;
  entry[write->name] = {.bytes = write->bytes,
                        .used = 0,
                        .state = State::kPending,
                        .first_block = first,
                        .end_block = end,
                        .ids = write->head.ids};
  if (!TakePages(first, end, cache, &write->pages)) return false;
  try {
    std::optional<Names> room = MakeRoom(write->bytes, ids);
    if (!room) {
      GiveBack(*write);
      return false;
    }
    write->remove = std::move(*room);
  } catch (const std::bad_alloc&) {
    GiveBack(*write);
    throw;
  }
  const auto old = files_.find(write->name);  // a damaged one, if it has not just left
  write->replaces = old != files_.end();
  if (write->replaces) Forget(old);
  files_.merge(entry);
  bytes_ += write->bytes;
  queued_bytes_ += page_bytes;
  return true;
}

void PrefixFiles::GiveBack(const PrefixWrite& write) {
  for (std::byte* page : write.pages) pool_->Free(page);
}

// The pages of these blocks with one owner more; false, and nothing taken, where one of them is gone.
bool PrefixFiles::TakePages(size_t first, size_t end, const model::KvCache& cache, std::vector<std::byte*>* pages) {
  std::vector<std::byte*> block_pages;
  for (size_t block = first; block < end; ++block) {
    if (!cache.BlockPages(block, &block_pages)) return false;
    pages->insert(pages->end(), block_pages.begin(), block_pages.end());
  }
  for (size_t i = 0; i < pages->size(); ++i) {
    if (pool_->Ref((*pages)[i])) continue;
    while (i > 0) pool_->Free((*pages)[--i]);
    return false;
  }
  return true;
}

// Forgets the least recently used files until `bytes` more fit and returns their names; nothing where that is not enough. Files
// that hold blocks of `ids` stay, and a file that another one continues goes after that one.
std::optional<PrefixFiles::Names> PrefixFiles::MakeRoom(uint64_t bytes, std::span<const TokenId> ids) {
  if (bytes > limit_) return std::nullopt;
  std::vector<Files::iterator> order;
  for (auto file = files_.begin(); file != files_.end(); ++file) {
    const File& f = file->second;
    const bool needed = f.state != State::kUseless && f.Matched(ids, ids.size() / kPageTokens) > f.first_block;
    if (f.state != State::kPending && !needed) order.push_back(file);
  }
  std::sort(order.begin(), order.end(), [](auto a, auto b) { return a->second.used < b->second.used; });
  uint64_t left = bytes_;
  std::set<const File*> leaving;
  std::vector<Files::iterator> gone;
  for (bool more = true; more && left > limit_ - bytes;) {
    more = false;
    for (const auto file : order) {
      if (left <= limit_ - bytes) break;
      if (leaving.count(&file->second) != 0 || Continued(file->second, leaving)) continue;
      leaving.insert(&file->second);
      gone.push_back(file);
      left -= file->second.bytes;
      more = true;
    }
  }
  if (left > limit_ - bytes) return std::nullopt;
  Names names;
  for (const auto file : gone) names.push_back(file->first);
  for (const auto file : gone) {
    evicted_bytes_ += file->second.bytes;
    Forget(file);
  }
  return names;
}

bool PrefixFiles::Continued(const File& file, const std::set<const File*>& leaving) const {
  return std::any_of(files_.begin(), files_.end(), [&](const auto& entry) {
    const File& next = entry.second;
    if (&next == &file || next.state == State::kUseless || leaving.count(&next) != 0) return false;
    if (next.first_block <= file.first_block || next.first_block > file.end_block) return false;
    return file.Matched(next.ids, next.first_block) == next.first_block;
  });
}

void PrefixFiles::Touch(std::span<const TokenId> ids, size_t blocks) {
  const auto cover = Cover(ids, blocks, true);
  std::vector<Files::iterator> used;
  for (const auto file : cover) {
    if (file != files_.end() && (used.empty() || used.back() != file)) used.push_back(file);
  }
  // The beginning of a text last of all: it is needed for the rest.
  const int64_t now = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
  last_used_ = std::max(last_used_ + 1, now);
  for (size_t i = used.size(); i-- > 0;) {
    used[i]->second.used = last_used_++;
    if (used[i]->second.state == State::kReady) directory_->SetUsed(used[i]->first, used[i]->second.used);
  }
}

void PrefixFiles::Collect() {
  const std::list<PrefixWrite> writes = writer_->TakeDone();
  const Status* failed = nullptr;
  for (const PrefixWrite& write : writes) {
    GiveBack(write);
    queued_bytes_ -= write.head.blocks() * shape_.block_bytes();
    const auto file = files_.find(write.name);
    if (write.status.ok()) {
      file->second.state = State::kReady;
      warned_ = false;
      continue;
    }
    Forget(file);
    if (write.status.code() != StatusCode::kCancelled && !std::exchange(warned_, true)) failed = &write.status;
  }
  if (failed != nullptr) LogWarning("a prefix is not kept on disk: " + failed->ToString());
}

void PrefixFiles::Flush() {
  writer_->Wait();
  Collect();
}

}  // namespace damask::batching
