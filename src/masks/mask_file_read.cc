#include <cstring>
#include <new>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "formats/byte_reader.h"
#include "masks/mask_file.h"
#include "masks/mask_layout.h"

namespace damask::masks {
namespace {

using formats::ByteReader;

// Reads plain fields one after another; the first error sticks and ends the reading.
class Fields {
 public:
  explicit Fields(ByteReader* reader) : reader_(reader) {}

  template <typename T>
  void Get(std::string_view what, T* value) {
    if (!status_.ok()) return;
    const Result<T> read = reader_->Read<T>(what);
    if (read.ok()) {
      *value = *read;
    } else {
      status_ = read.status();
    }
  }
  // A byte that may hold 0 .. max.
  uint8_t GetByte(std::string_view what, uint8_t max) {
    uint8_t value = 0;
    Get(what, &value);
    if (status_.ok() && value > max) status_ = BadFormat(fmt::format("{} is {}, expected at most {}", what, value, max));
    return status_.ok() ? value : uint8_t{0};
  }
  void GetReserved(uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; ++i) GetByte("a reserved byte", 0);
  }
  void GetName(std::string_view what, std::string* name) {
    uint16_t size = 0;
    Get(what, &size);
    if (status_.ok() && size > kMaxNameBytes) {
      status_ = BadFormat(fmt::format("{} has {} bytes, expected at most {}", what, size, kMaxNameBytes));
    }
    if (!status_.ok()) return;
    const auto bytes = reader_->Take(what, size);
    if (!bytes.ok()) {
      status_ = bytes.status();
      return;
    }
    name->assign(reinterpret_cast<const char*>(bytes->data()), bytes->size());
    if (!IsValidUtf8(*name)) status_ = BadFormat(fmt::format("{} is not UTF-8: {}", what, Quote(*name)));
  }
  // Before anything is sized by `count`: that many elements of `bytes` each are still there.
  bool Has(std::string_view what, uint64_t count, uint64_t bytes) {
    const std::optional<uint64_t> size = CheckedMul(count, bytes);
    if (status_.ok() && (!size || *size > reader_->remaining())) {
      status_ = Truncated(fmt::format("{} {} are announced, {} bytes are left", count, what, reader_->remaining()));
    }
    return status_.ok();
  }
  const Status& status() const { return status_; }

 private:
  ByteReader* reader_;
  Status status_;
};

Status ReadFingerprint(ByteReader* reader, Fingerprint* f) {
  Fields in(reader);
  in.Get("layers", &f->layers);
  in.Get("heads", &f->heads);
  in.Get("kv_heads", &f->kv_heads);
  in.Get("head_dim", &f->head_dim);
  in.Get("vocab", &f->vocab);
  in.Get("tokenizer hash", &f->tokenizer_hash);
  in.Get("weights hash", &f->weights_hash);
  in.GetName("architecture", &f->architecture);
  in.GetName("model name", &f->model);
  return in.status();
}

Status ReadParameters(ByteReader* reader, uint16_t minor, Parameters* p) {
  Fields in(reader);
  in.Get("capture length", &p->capture_length);
  in.Get("samples", &p->samples);
  in.Get("tokens", &p->tokens);
  p->amplify.transform = static_cast<Transform>(in.GetByte("transform", kNumTransforms - 1));
  p->amplify.scale_rows = in.GetByte("row scaling", 1) != 0;
  p->tau_is_percentile = in.GetByte("kind of tau", 1) != 0;
  p->match.match = static_cast<Match>(in.GetByte("match", 1));
  in.Get("min-cells", &p->match.min_cells);
  in.Get("sink keys", &p->sink_keys);
  in.Get("window", &p->window);
  in.Get("lambda", &p->amplify.lambda);
  in.Get("epsilon", &p->amplify.epsilon);
  in.Get("tau", &p->tau);
  in.Get("mu", &p->match.mu);
  in.Get("effect length", &p->effect_length);
  in.Get("max-kl", &p->max_kl);
  in.Get("target recall", &p->target_recall);
  in.Get("budget", &p->budget);
  in.Get("joint effect", &p->joint_effect);
  p->content_blocks = layout::kContentBlocksOfVersion10;
  if (minor >= 1) in.Get("blocks of content heads", &p->content_blocks);
  return in.status();
}

// The true mask: `rows` counts of runs, then the runs. Only its sizes are checked here; CheckHead looks at the rest.
Status ReadTrueMask(uint32_t rows, uint32_t num_runs, ByteReader* reader, Fields* in, TrueMask* mask) {
  const uint64_t row_bytes = uint64_t{rows} * sizeof(uint16_t);
  if (!in->Has("rows", rows, sizeof(uint16_t))) return in->status();
  DAMASK_ASSIGN_OR_RETURN(const std::span<const std::byte> counts, reader->Take("rows of the true mask", row_bytes));
  if (!in->Has("runs", num_runs, sizeof(KeyRange))) return in->status();
  std::vector<KeyRange> runs;
  uint64_t total = 0;
  for (uint32_t row = 0; row < rows; ++row) {
    uint16_t count = 0;
    std::memcpy(&count, counts.data() + row * sizeof(count), sizeof(count));
    total += count;
    if (total > num_runs)
      return BadFormat(fmt::format("the rows of the true mask have more than the {} runs announced", num_runs));
    DAMASK_ASSIGN_OR_RETURN(const std::span<const std::byte> raw, reader->Take("runs", uint64_t{count} * sizeof(KeyRange)));
    runs.resize(count);
    if (count != 0) std::memcpy(runs.data(), raw.data(), raw.size());
    mask->AppendRow(runs);
  }
  if (total != num_runs) return BadFormat(fmt::format("the true mask has {} runs, {} are announced", total, num_runs));
  return {};
}

Status ReadHead(uint32_t capture_length, ByteReader* reader, HeadMask* head) {
  Fields in(reader);
  head->treatment = static_cast<Treatment>(in.GetByte("treatment", 2));
  head->form = static_cast<StaticForm>(in.GetByte("static form", 1));
  in.GetReserved(2);
  in.Get("window sinks", &head->window_sinks);
  in.Get("window", &head->window);
  in.Get("mass", &head->mass);
  in.Get("mass of the true mask", &head->mass_true_mask);
  in.Get("mass of the window", &head->mass_window);
  in.Get("strong-key hit", &head->strong_key_hit);
  in.Get("effect", &head->effect);
  uint32_t diagonals = 0;
  uint32_t verticals = 0;
  uint32_t runs = 0;
  in.Get("number of diagonals", &diagonals);
  in.Get("number of verticals", &verticals);
  in.Get("number of runs", &runs);
  if (in.Has("diagonals", diagonals, 12)) head->patterns.diagonals.resize(diagonals);
  for (DiagonalInterval& interval : head->patterns.diagonals) {
    in.Get("diagonal", &interval.begin);
    in.Get("diagonal", &interval.end);
    in.Get("gamma", &interval.gamma);
  }
  if (in.Has("verticals", verticals, 8)) head->patterns.verticals.resize(verticals);
  for (Vertical& vertical : head->patterns.verticals) {
    in.Get("column", &vertical.column);
    in.Get("gamma", &vertical.gamma);
  }
  DAMASK_RETURN_IF_ERROR(in.status());
  return ReadTrueMask(capture_length, runs, reader, &in, &head->true_mask);
}

class Parser {
 public:
  // With a list, faults that can be read past are noted there and the reading goes on.
  explicit Parser(std::span<const std::byte> bytes, formats::FaultList* faults = nullptr)
      : reader_(bytes), bytes_(bytes), faults_(faults) {}

  Result<Mask> Parse() {
    DAMASK_RETURN_IF_ERROR(Header());
    while (reader_.remaining() != 0) DAMASK_RETURN_IF_ERROR(NextSection());
    if (!has_fingerprint_) return BadFormat("the file has no fingerprint section");
    if (!has_parameters_) return BadFormat("the file has no parameters section");
    for (size_t i = 0; i < seen_.size(); ++i) {
      if (!seen_[i]) DAMASK_RETURN_IF_ERROR(Note(BadFormat("the head is missing").At(HeadName(i))));
    }
    if (faults_ == nullptr || faults_->seen() == 0) DAMASK_RETURN_IF_ERROR(CheckMask(mask_));
    return std::move(mask_);
  }

 private:
  std::string HeadName(size_t index) const {
    return fmt::format("layer {} head {}", index / mask_.fingerprint.heads, index % mask_.fingerprint.heads);
  }

  Status Note(Status fault) { return formats::Report(faults_, std::move(fault)); }

  Status Header() {
    const auto magic = reader_.Take("the magic", layout::kMagic.size());
    if (!magic.ok() || std::memcmp(magic->data(), layout::kMagic.data(), layout::kMagic.size()) != 0) {
      return BadFormat(fmt::format("not a damask mask file: it does not begin with {}", layout::kMagic));
    }
    DAMASK_ASSIGN_OR_RETURN(const uint32_t order, reader_.Read<uint32_t>("the byte order"));
    if (order == layout::kSwappedByteOrder)
      return BadFormat("the mask file has the wrong byte order: it must be little-endian");
    if (order != layout::kByteOrder)
      return BadFormat(fmt::format("the byte order mark is {:#x}, expected {:#x}", order, layout::kByteOrder)).At("byte 8");
    DAMASK_ASSIGN_OR_RETURN(const uint16_t major, reader_.Read<uint16_t>("the version"));
    DAMASK_ASSIGN_OR_RETURN(minor_, reader_.Read<uint16_t>("the version"));
    if (major > kMaskVersionMajor) {
      return Unsupported(
          fmt::format("the mask file has version {}.{}, this damask reads up to {}.x", major, minor_, kMaskVersionMajor));
    }
    if (major == 0) return BadFormat("the mask file has version 0");
    DAMASK_ASSIGN_OR_RETURN(const uint64_t size, reader_.Read<uint64_t>("the size"));
    DAMASK_ASSIGN_OR_RETURN(const uint64_t checksum, reader_.Read<uint64_t>("the checksum"));
    if (size != bytes_.size()) {
      const std::string what = fmt::format("the file has {} bytes, {} were written", bytes_.size(), size);
      DAMASK_RETURN_IF_ERROR(Note(size > bytes_.size() ? Truncated(what) : BadFormat(what)));
    }
    Hasher hasher;
    hasher.Add(bytes_.first(layout::kChecksumOffset));
    hasher.Add(bytes_.subspan(layout::kHeaderBytes));
    if (hasher.value() == checksum) return {};
    return Note(BadFormat("the mask file is damaged: its checksum does not match its content"));
  }

  Status NextSection() {
    const std::string where = reader_.Here();
    DAMASK_ASSIGN_OR_RETURN(const uint32_t kind, reader_.Read<uint32_t>("a section"));
    DAMASK_ASSIGN_OR_RETURN(const uint32_t flags, reader_.Read<uint32_t>("a section"));
    DAMASK_ASSIGN_OR_RETURN(const uint64_t size, reader_.Read<uint64_t>("a section"));
    DAMASK_ASSIGN_OR_RETURN(const std::span<const std::byte> payload, reader_.Take("a section", size));
    ByteReader section(payload);
    const Status status = ReadSection(kind, flags, &section);
    if (!status.ok()) {
      const Status fault = status.At(fmt::format("section {} at {}", kind, where));
      return OthersDependOn(kind) ? fault : Note(fault);
    }
    // A newer minor version may have added fields at the end of a section that this reader knows.
    if (known_ && section.remaining() != 0 && minor_ <= kMaskVersionMinor) {
      return Note(
          BadFormat(fmt::format("{} bytes too many", section.remaining())).At(fmt::format("section {} at {}", kind, where)));
    }
    return {};
  }

  static bool OthersDependOn(uint32_t kind) {
    return kind == static_cast<uint32_t>(Section::kFingerprint) || kind == static_cast<uint32_t>(Section::kParameters);
  }

  Status ReadSection(uint32_t kind, uint32_t flags, ByteReader* section) {
    known_ = true;
    switch (static_cast<Section>(kind)) {
      case Section::kFingerprint:
        if (has_fingerprint_) return BadFormat("a second fingerprint");
        has_fingerprint_ = true;
        DAMASK_RETURN_IF_ERROR(ReadFingerprint(section, &mask_.fingerprint));
        return MakeRoom();
      case Section::kParameters:
        if (has_parameters_) return BadFormat("a second set of parameters");
        has_parameters_ = true;
        DAMASK_RETURN_IF_ERROR(ReadParameters(section, minor_, &mask_.parameters));
        return CheckedParameters();
      case Section::kHead: return Head(section);
      case Section::kThumbnail: return Thumbnail(section);
      case Section::kKeyDirections: return Directions(section);
    }
    known_ = false;
    if ((flags & layout::kRequired) != 0) {
      return Unsupported("a required section of a kind that this damask does not know: the file is newer");
    }
    return {};
  }

  Status CheckedParameters() const {
    const Status status = CheckParameters(mask_.parameters);
    return status.ok() ? status : BadFormat(status.message());
  }

  // Room for the heads, after a look at whether the file can hold that many.
  Status MakeRoom() {
    const Fingerprint& f = mask_.fingerprint;
    if (f.layers == 0 || f.layers > limits::kMaxLayers || f.heads == 0 || f.heads > limits::kMaxHeads) {
      return BadFormat(fmt::format("{} layers of {} heads, expected 1 to {} of 1 to {}", f.layers, f.heads, limits::kMaxLayers,
                                   limits::kMaxHeads));
    }
    const uint64_t count = uint64_t{f.layers} * f.heads;
    if (count > reader_.remaining() / layout::kMinHeadBytes) {
      return Truncated(fmt::format("{} heads are announced, {} bytes are left", count, reader_.remaining()));
    }
    mask_.heads.resize(count);
    seen_.resize(count);
    seen_directions_.resize(count);
    return {};
  }

  // Which head a section is about. Heads and their pictures come after fingerprint and parameters.
  Result<size_t> HeadIndex(ByteReader* section) {
    if (!has_fingerprint_ || !has_parameters_) return BadFormat("a head before fingerprint and parameters");
    DAMASK_ASSIGN_OR_RETURN(const uint32_t layer, section->Read<uint32_t>("layer"));
    DAMASK_ASSIGN_OR_RETURN(const uint32_t head, section->Read<uint32_t>("head"));
    const Fingerprint& f = mask_.fingerprint;
    if (layer >= f.layers || head >= f.heads) {
      return BadFormat(fmt::format("layer {} head {} of {} layers of {} heads", layer, head, f.layers, f.heads));
    }
    return size_t{layer} * f.heads + head;
  }

  Status Head(ByteReader* section) {
    DAMASK_ASSIGN_OR_RETURN(const size_t index, HeadIndex(section));
    if (seen_[index]) return BadFormat("the head comes twice").At(HeadName(index));
    seen_[index] = true;
    Status status = ReadHead(mask_.parameters.capture_length, section, &mask_.heads[index]);
    // Where faults are only noted, every head is looked at, not up to the first bad one.
    if (status.ok() && faults_ != nullptr) status = CheckHead(mask_.heads[index], mask_.parameters.capture_length);
    return status.ok() ? status : status.At(HeadName(index));
  }

  Status Thumbnail(ByteReader* section) {
    DAMASK_ASSIGN_OR_RETURN(const size_t index, HeadIndex(section));
    DAMASK_ASSIGN_OR_RETURN(const uint32_t side, section->Read<uint32_t>("side of the picture"));
    if (side == 0 || side > kMaxThumbnailSide)
      return BadFormat(fmt::format("a picture of {} a side", side)).At(HeadName(index));
    HeadMask& head = mask_.heads[index];
    if (!head.thumbnail.empty()) return BadFormat("a second picture").At(HeadName(index));
    DAMASK_ASSIGN_OR_RETURN(const auto bytes, section->Take("the picture", uint64_t{side} * side));
    head.thumbnail_side = side;
    head.thumbnail.resize(bytes.size());
    std::memcpy(head.thumbnail.data(), bytes.data(), bytes.size());
    return {};
  }

  Status Directions(ByteReader* section) {
    Fields in(section);
    KeyDirections directions;
    in.Get("layer", &directions.layer);
    in.Get("KV head", &directions.kv_head);
    in.Get("rank", &directions.rank);
    in.Get("head_dim", &directions.head_dim);
    in.Get("error", &directions.error);
    const uint64_t count = uint64_t{directions.rank} * directions.head_dim;  // of 32-bit numbers: does not wrap
    if (!in.Has("directions", count, sizeof(float))) return in.status();
    DAMASK_ASSIGN_OR_RETURN(const auto bytes, section->Take("the directions", count * sizeof(float)));
    directions.values.resize(count);
    if (count != 0) std::memcpy(directions.values.data(), bytes.data(), bytes.size());
    if (!has_fingerprint_) return BadFormat("key directions before the fingerprint");
    const Fingerprint& f = mask_.fingerprint;
    if (directions.layer >= f.layers || directions.kv_head >= f.heads) {
      return BadFormat(fmt::format("layer {} KV head {} of {} layers", directions.layer, directions.kv_head, f.layers));
    }
    const size_t index = size_t{directions.layer} * f.heads + directions.kv_head;
    if (seen_directions_[index]) return BadFormat("directions of a KV head twice");
    seen_directions_[index] = true;
    if (faults_ != nullptr) {
      const Status status = CheckDirections(directions, f);
      if (!status.ok()) return status.At(DirectionsName(directions));
    }
    mask_.key_directions.push_back(std::move(directions));
    return {};
  }

  ByteReader reader_;
  std::span<const std::byte> bytes_;
  formats::FaultList* faults_;
  uint16_t minor_ = 0;
  Mask mask_;
  std::vector<bool> seen_;             // per head
  std::vector<bool> seen_directions_;  // per KV head; there are at most as many as heads
  bool has_fingerprint_ = false;
  bool has_parameters_ = false;
  bool known_ = false;  // whether the section just read is of a known kind
};

}  // namespace

Result<Mask> ParseMask(std::span<const std::byte> bytes) {
  try {
    return Parser(bytes).Parse();
  } catch (const std::bad_alloc&) {
    return OutOfMemory("no memory for the mask");
  }
}

bool IsMask(std::span<const std::byte> bytes) {
  return bytes.size() >= layout::kMagic.size() && std::memcmp(bytes.data(), layout::kMagic.data(), layout::kMagic.size()) == 0;
}

Result<std::vector<formats::Fault>> FindMaskFaults(std::span<const std::byte> bytes) {
  try {
    formats::FaultList faults;
    const Result<Mask> mask = Parser(bytes, &faults).Parse();
    if (!mask.ok()) faults.Add(mask.status());
    return std::move(faults).Take("the file");
  } catch (const std::bad_alloc&) {
    return OutOfMemory("no memory for the mask");
  }
}

Result<Mask> ReadMaskFile(const std::string& path) {
  DAMASK_ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(path, kMaxMaskFileBytes));
  Result<Mask> mask = ParseMask(std::as_bytes(std::span(bytes)));
  if (!mask.ok()) return mask.status().At(Quote(path, 300));
  return mask;
}

}  // namespace damask::masks
