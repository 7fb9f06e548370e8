#include "batching/prefix_file.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include <fmt/format.h>
#include <xxhash.h>

#include "base/checked.h"

namespace damask::batching {
namespace {

using kernels::kPageTokens;

static_assert(std::endian::native == std::endian::little, "the file's numbers are copied as they are");

// Pages begin at a multiple of the system's own page.
constexpr uint64_t kHeadAlignment = 4096;
constexpr uint64_t kMaxHeadBytes =
    sizeof(PrefixFileStart) + limits::kMaxContext * sizeof(TokenId) + kMaxPrefixBlocks * sizeof(uint64_t) + kHeadAlignment;
// Ranges given to the system at once (it takes 1024).
constexpr size_t kMaxRanges = 256;

struct FreeState {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

// XXH3 over several ranges.
class Hash {
 public:
  explicit Hash(uint64_t seed) : state_(XXH3_createState()) {
    if (state_ == nullptr) throw std::bad_alloc();
    XXH3_64bits_reset_withSeed(state_.get(), seed);
  }
  void Add(std::span<const std::byte> bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }
  uint64_t value() const { return XXH3_64bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, FreeState> state_;
};

std::string_view SystemText() { return std::strerror(errno); }

// preadv or pwritev over all of `pages`, however much the system does at once.
template <typename Call>
Status TransferPages(Call call, const char* what, int fd, std::span<std::byte* const> pages, uint64_t page_bytes,
                     uint64_t offset) {
  std::array<iovec, kMaxRanges> ranges;
  const uint64_t total = pages.size() * page_bytes;
  for (uint64_t done = 0; done < total;) {
    int count = 0;
    uint64_t within = done % page_bytes;
    for (size_t page = done / page_bytes; page < pages.size() && count < static_cast<int>(kMaxRanges); ++page, within = 0) {
      ranges[static_cast<size_t>(count++)] = {pages[page] + within, page_bytes - within};
    }
    const ssize_t moved = call(fd, ranges.data(), count, static_cast<off_t>(offset + done));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return IoError(fmt::format("cannot {} pages: {}", what, SystemText()));
    if (moved == 0) return Truncated(fmt::format("ends inside its pages, at byte {}", offset + done));
    done += static_cast<uint64_t>(moved);
  }
  return {};
}

Status ReadBytes(int fd, std::byte* out, uint64_t size) {
  for (uint64_t done = 0; done < size;) {
    const ssize_t got = pread(fd, out + done, size - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return IoError(fmt::format("cannot read: {}", SystemText()));
    if (got == 0) return Truncated(fmt::format("ends at byte {} of a head of {}", done, size));
    done += static_cast<uint64_t>(got);
  }
  return {};
}

Status WriteBytes(int fd, std::string_view bytes) {
  for (uint64_t done = 0; done < bytes.size();) {
    const ssize_t put = pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return IoError(fmt::format("cannot write: {}", SystemText()));
    done += static_cast<uint64_t>(put);
  }
  return {};
}

// What can be told of a head before the rest of it is read: that it is one, and how long.
Status CheckStart(const PrefixFileStart& start, uint64_t file_bytes) {
  if (start.magic != kPrefixFileMagic) return BadFormat("does not begin as a prefix file does");
  if (start.byte_order != kPrefixFileByteOrder) return BadFormat("is in another byte order");
  if (start.file_bytes != file_bytes) {
    return Truncated(fmt::format("has {} bytes, {} were written", file_bytes, start.file_bytes));
  }
  if (start.head_bytes < sizeof(start) || start.head_bytes > std::min(file_bytes, kMaxHeadBytes)) {
    return BadFormat(fmt::format("says that its head has {} bytes of {}", start.head_bytes, file_bytes));
  }
  return {};
}

// Whether the numbers of a sound head of our version and binding go together with each other and with the file's size.
Status CheckCounts(const PrefixFileStart& start, const PrefixFileShape& shape) {
  if (start.layers != shape.layers || start.kv_heads != shape.kv_heads || start.page_bytes != shape.page_bytes ||
      start.vocab != shape.vocab) {
    return BadFormat("has another shape than its binding");
  }
  if (start.first_block >= start.end_block || start.end_block > kMaxPrefixBlocks) {
    return BadFormat(fmt::format("says that it holds the blocks {} to {}", start.first_block, start.end_block));
  }
  const std::optional<uint64_t> data = CheckedMul(start.end_block - start.first_block, shape.block_bytes());
  const std::optional<uint64_t> all = data ? CheckedAdd(start.head_bytes, *data) : std::nullopt;
  if (start.head_bytes != PrefixHeadBytes(start.first_block, start.end_block) || all != start.file_bytes) {
    return BadFormat(
        fmt::format("has {} bytes, which its {} blocks do not fill", start.file_bytes, start.end_block - start.first_block));
  }
  return {};
}

}  // namespace

void BindPrefixFiles(std::string_view binding, PrefixFileShape* shape) {
  const XXH128_hash_t hash = XXH3_128bits(binding.data(), binding.size());
  shape->binding_bytes = binding.size();
  shape->binding = {hash.low64, hash.high64};
}

std::array<uint64_t, 2> HashOfIds(const PrefixFileShape& shape, std::span<const TokenId> ids) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(ids.data(), ids.size_bytes(), shape.binding[0] ^ shape.binding[1]);
  return {hash.low64, hash.high64};
}

uint64_t PrefixHeadBytes(uint64_t first_block, uint64_t end_block) {
  const uint64_t bytes =
      sizeof(PrefixFileStart) + end_block * kPageTokens * sizeof(TokenId) + (end_block - first_block) * sizeof(uint64_t);
  return CeilDiv(bytes, kHeadAlignment) * kHeadAlignment;
}

uint64_t PrefixFileBytes(const PrefixFileShape& shape, uint64_t first_block, uint64_t end_block) {
  return PrefixHeadBytes(first_block, end_block) + (end_block - first_block) * shape.block_bytes();
}

uint64_t BlockChecksum(std::span<const std::byte* const> pages, uint64_t page_bytes, uint64_t block) {
  Hash hash(block);
  for (const std::byte* page : pages) hash.Add({page, page_bytes});
  return hash.value();
}

uint64_t HeadChecksum(std::span<const std::byte> head) {
  constexpr size_t kField = offsetof(PrefixFileStart, checksum);
  Hash hash(0);
  hash.Add(head.first(kField));
  hash.Add(head.subspan(kField + sizeof(PrefixFileStart::checksum)));
  return hash.value();
}

std::string SerializePrefixHead(const PrefixFileShape& shape, const PrefixFileHead& head) {
  PrefixFileStart start = {.magic = kPrefixFileMagic,
                           .version = kPrefixFileVersion,
                           .byte_order = kPrefixFileByteOrder,
                           .head_bytes = PrefixHeadBytes(head.first_block, head.end_block),
                           .file_bytes = PrefixFileBytes(shape, head.first_block, head.end_block),
                           .checksum = 0,
                           .binding_bytes = shape.binding_bytes,
                           .binding = shape.binding,
                           .layers = static_cast<uint32_t>(shape.layers),
                           .kv_heads = static_cast<uint32_t>(shape.kv_heads),
                           .page_bytes = shape.page_bytes,
                           .vocab = shape.vocab,
                           .first_block = static_cast<uint32_t>(head.first_block),
                           .end_block = static_cast<uint32_t>(head.end_block)};
  std::string bytes(start.head_bytes, '\0');
  const size_t id_bytes = head.ids.size() * sizeof(TokenId);
  std::memcpy(bytes.data() + sizeof(start), head.ids.data(), id_bytes);
  std::memcpy(bytes.data() + sizeof(start) + id_bytes, head.checksums.data(), head.checksums.size() * sizeof(uint64_t));
  std::memcpy(bytes.data(), &start, sizeof(start));
  start.checksum = HeadChecksum(std::as_bytes(std::span(bytes)));
  std::memcpy(bytes.data(), &start, sizeof(start));
  return bytes;
}

Result<PrefixFileHead> ParsePrefixHead(std::span<const std::byte> head, uint64_t file_bytes, const PrefixFileShape& shape) {
  PrefixFileStart start;
  if (head.size() < sizeof(start)) return Truncated(fmt::format("has {} bytes, a head has more", head.size()));
  std::memcpy(&start, head.data(), sizeof(start));
  DAMASK_RETURN_IF_ERROR(CheckStart(start, file_bytes));
  if (start.head_bytes != head.size()) return Truncated("ends inside its head");
  if (start.checksum != HeadChecksum(head)) return BadFormat("is damaged: the checksum of its head is another");
  if (start.version != kPrefixFileVersion) return Unsupported(fmt::format("is of format version {}", start.version));
  if (start.binding_bytes != shape.binding_bytes || start.binding != shape.binding) {
    return Unsupported("was written with another model, policy or version of damask");
  }
  DAMASK_RETURN_IF_ERROR(CheckCounts(start, shape));
  PrefixFileHead out;
  out.first_block = start.first_block;
  out.end_block = start.end_block;
  out.ids.resize(start.end_block * kPageTokens);
  out.checksums.resize(out.blocks());
  const size_t id_bytes = out.ids.size() * sizeof(TokenId);
  std::memcpy(out.ids.data(), head.data() + sizeof(start), id_bytes);
  std::memcpy(out.checksums.data(), head.data() + sizeof(start) + id_bytes, out.checksums.size() * sizeof(uint64_t));
  const auto strange = std::find_if(out.ids.begin(), out.ids.end(),
                                    [&](TokenId id) { return id < 0 || static_cast<uint64_t>(id) >= shape.vocab; });
  if (strange != out.ids.end()) {
    return BadFormat(fmt::format("has token id {}, the vocabulary has {}", *strange, shape.vocab));
  }
  return out;
}

Result<PrefixFileHead> ReadPrefixHead(int fd, const PrefixFileShape& shape) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return IoError(fmt::format("cannot stat: {}", SystemText()));
  const auto file_bytes = static_cast<uint64_t>(info.st_size);
  PrefixFileStart start;
  if (file_bytes < sizeof(start)) return Truncated(fmt::format("has {} bytes, a head has more", file_bytes));
  DAMASK_RETURN_IF_ERROR(ReadBytes(fd, reinterpret_cast<std::byte*>(&start), sizeof(start)));
  DAMASK_RETURN_IF_ERROR(CheckStart(start, file_bytes));
  try {
    std::vector<std::byte> head(start.head_bytes);
    DAMASK_RETURN_IF_ERROR(ReadBytes(fd, head.data(), head.size()));
    return ParsePrefixHead(head, file_bytes, shape);
  } catch (const std::bad_alloc&) {
    return OutOfMemory("no memory for its head");
  }
}

Status ReadPrefixBlock(int fd, const PrefixFileShape& shape, const PrefixFileHead& head, uint64_t block,
                       std::span<std::byte* const> pages) {
  if (block < head.first_block || block >= head.end_block || pages.size() != shape.pages_per_block()) {
    return Internal(fmt::format("block {} of a file from {} to {}", block, head.first_block, head.end_block));
  }
  const uint64_t index = block - head.first_block;
  const uint64_t offset = PrefixHeadBytes(head.first_block, head.end_block) + index * shape.block_bytes();
  DAMASK_RETURN_IF_ERROR(TransferPages(preadv, "read", fd, pages, shape.page_bytes, offset));
  if (BlockChecksum(pages, shape.page_bytes, block) != head.checksums[index]) {
    return BadFormat(fmt::format("is damaged: the checksum of block {} is another", block));
  }
  return {};
}

Status WritePrefixFile(int fd, const PrefixFileShape& shape, PrefixFileHead* head, std::span<std::byte* const> pages) {
  const size_t per_block = shape.pages_per_block();
  head->checksums.resize(head->blocks());
  for (uint64_t i = 0; i < head->blocks(); ++i) {
    head->checksums[i] = BlockChecksum(pages.subspan(i * per_block, per_block), shape.page_bytes, head->first_block + i);
  }
  const std::string bytes = SerializePrefixHead(shape, *head);
  DAMASK_RETURN_IF_ERROR(WriteBytes(fd, bytes));
  return TransferPages(pwritev, "write", fd, pages, shape.page_bytes, bytes.size());
}

}  // namespace damask::batching
