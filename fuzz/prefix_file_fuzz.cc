// Prefix files: the head as bytes, head and blocks through a descriptor; then the same bytes behind right sizes and a right
// checksum, to get past the first checks. What is read must be written as the same bytes again.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "base/descriptor.h"
#include "batching/prefix_file.h"
#include "tests/batching/prefix_bytes.h"

namespace {

namespace batching = damask::batching;
using batching::PrefixFileStart;

volatile uint64_t touched;

void Read(const std::string& bytes) {
  const batching::PrefixFileShape shape = batching::test::TinyShape();
  const damask::Descriptor fd(memfd_create("prefix", MFD_CLOEXEC));
  if (fd.get() < 0 || write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  const auto head = batching::ReadPrefixHead(fd.get(), shape);
  if (!head.ok()) return;
  batching::test::TinyPages pages(1);
  for (uint64_t block = head->first_block; block < head->end_block; ++block) {
    touched = batching::ReadPrefixBlock(fd.get(), shape, *head, block, pages.pages).ok();
  }
  const std::string again = batching::SerializePrefixHead(shape, *head);
  const auto parsed = batching::ParsePrefixHead(std::as_bytes(std::span(again)), bytes.size(), shape);
  if (!parsed.ok() || parsed->ids != head->ids || parsed->checksums != head->checksums) std::abort();
}

// With our binding, the file's own size, and a head as long as its counts say, if the file has that much.
std::string Sealed(std::string bytes) {
  const batching::PrefixFileShape shape = batching::test::TinyShape();
  PrefixFileStart start;
  std::memcpy(&start, bytes.data(), sizeof(start));
  start.magic = batching::kPrefixFileMagic;
  start.version = batching::kPrefixFileVersion;
  start.byte_order = batching::kPrefixFileByteOrder;
  start.binding_bytes = shape.binding_bytes;
  start.binding = shape.binding;
  start.file_bytes = bytes.size();
  start.head_bytes = std::clamp<uint64_t>(start.head_bytes, sizeof(start), bytes.size());
  std::memcpy(bytes.data(), &start, sizeof(start));
  start.checksum = batching::HeadChecksum(std::as_bytes(std::span(bytes)).first(start.head_bytes));
  std::memcpy(bytes.data(), &start, sizeof(start));
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  touched = batching::ParsePrefixHead(std::as_bytes(std::span(bytes)), size, batching::test::TinyShape()).ok();
  Read(bytes);
  if (size >= sizeof(PrefixFileStart)) Read(Sealed(bytes));
  return 0;
}
