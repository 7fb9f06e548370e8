#include <cstring>
#include <type_traits>

#include "base/write_file.h"
#include "masks/mask_file.h"
#include "masks/mask_layout.h"

namespace damask::masks {
namespace {

class Writer {
 public:
  template <typename T>
  void Put(T value) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));  // little-endian machines only: formats/byte_reader.h asserts it
    bytes_.append(raw, sizeof(T));
  }
  void PutName(const std::string& name) {
    Put(static_cast<uint16_t>(name.size()));
    bytes_ += name;
  }
  void PutBytes(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }

  // Sections are written between Begin and End, which fills in the length.
  void Begin(Section section, uint32_t flags) {
    Put(static_cast<uint32_t>(section));
    Put(flags);
    Put(uint64_t{0});
    payload_ = bytes_.size();
  }
  void End() { Patch(payload_ - sizeof(uint64_t), uint64_t{bytes_.size() - payload_}); }

  void Patch(size_t offset, uint64_t value) { std::memcpy(&bytes_[offset], &value, sizeof(value)); }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
  size_t payload_ = 0;
};

void PutFingerprint(const Fingerprint& f, Writer* out) {
  out->Begin(Section::kFingerprint, layout::kRequired);
  out->Put(f.layers);
  out->Put(f.heads);
  out->Put(f.kv_heads);
  out->Put(f.head_dim);
  out->Put(f.vocab);
  out->Put(f.tokenizer_hash);
  out->Put(f.weights_hash);
  out->PutName(f.architecture);
  out->PutName(f.model);
  out->End();
}

// The oldest version that says everything: older readers may read it.
uint16_t MinorVersionFor(const Parameters& p) { return p.content_blocks == layout::kContentBlocksOfVersion10 ? 0 : 1; }

void PutParameters(const Parameters& p, Writer* out) {
  out->Begin(Section::kParameters, layout::kRequired);
  out->Put(p.capture_length);
  out->Put(p.samples);
  out->Put(p.tokens);
  out->Put(static_cast<uint8_t>(p.amplify.transform));
  out->Put(static_cast<uint8_t>(p.amplify.scale_rows));
  out->Put(static_cast<uint8_t>(p.tau_is_percentile));
  out->Put(static_cast<uint8_t>(p.match.match));
  out->Put(p.match.min_cells);
  out->Put(p.sink_keys);
  out->Put(p.window);
  out->Put(p.amplify.lambda);
  out->Put(p.amplify.epsilon);
  out->Put(p.tau);
  out->Put(p.match.mu);
  out->Put(p.effect_length);
  out->Put(p.max_kl);
  out->Put(p.target_recall);
  out->Put(p.budget);
  out->Put(p.joint_effect);
  if (MinorVersionFor(p) >= 1) out->Put(p.content_blocks);
  out->End();
}

void PutHead(const HeadMask& head, uint32_t layer, uint32_t index, Writer* out) {
  out->Begin(Section::kHead, layout::kRequired);
  out->Put(layer);
  out->Put(index);
  out->Put(static_cast<uint8_t>(head.treatment));
  out->Put(static_cast<uint8_t>(head.form));
  out->Put(uint16_t{0});
  out->Put(head.window_sinks);
  out->Put(head.window);
  out->Put(head.mass);
  out->Put(head.mass_true_mask);
  out->Put(head.mass_window);
  out->Put(head.strong_key_hit);
  out->Put(head.effect);
  out->Put(static_cast<uint32_t>(head.patterns.diagonals.size()));
  out->Put(static_cast<uint32_t>(head.patterns.verticals.size()));
  out->Put(static_cast<uint32_t>(head.true_mask.num_runs()));
  for (const DiagonalInterval& interval : head.patterns.diagonals) {
    out->Put(interval.begin);
    out->Put(interval.end);
    out->Put(interval.gamma);
  }
  for (const Vertical& vertical : head.patterns.verticals) {
    out->Put(vertical.column);
    out->Put(vertical.gamma);
  }
  for (size_t row = 0; row < head.true_mask.length(); ++row) out->Put(static_cast<uint16_t>(head.true_mask.row(row).size()));
  for (size_t row = 0; row < head.true_mask.length(); ++row) {
    for (const KeyRange& run : head.true_mask.row(row)) {
      out->Put(run.begin);
      out->Put(run.end);
    }
  }
  out->End();
}

void PutThumbnail(const HeadMask& head, uint32_t layer, uint32_t index, Writer* out) {
  if (head.thumbnail.empty()) return;
  out->Begin(Section::kThumbnail, 0);
  out->Put(layer);
  out->Put(index);
  out->Put(head.thumbnail_side);
  out->PutBytes(head.thumbnail.data(), head.thumbnail.size());
  out->End();
}

void PutKeyDirections(const KeyDirections& directions, Writer* out) {
  out->Begin(Section::kKeyDirections, 0);
  out->Put(directions.layer);
  out->Put(directions.kv_head);
  out->Put(directions.rank);
  out->Put(directions.head_dim);
  out->Put(directions.error);
  out->PutBytes(directions.values.data(), directions.values.size() * sizeof(float));
  out->End();
}

}  // namespace

Result<std::string> SerializeMask(const Mask& mask) {
  DAMASK_RETURN_IF_ERROR(CheckMask(mask));
  Writer out;
  out.bytes() = layout::kMagic;
  out.Put(layout::kByteOrder);
  out.Put(kMaskVersionMajor);
  out.Put(MinorVersionFor(mask.parameters));
  out.Put(uint64_t{0});  // size and checksum, filled in at the end
  out.Put(uint64_t{0});
  PutFingerprint(mask.fingerprint, &out);
  PutParameters(mask.parameters, &out);
  for (size_t i = 0; i < mask.heads.size(); ++i) {
    const auto layer = static_cast<uint32_t>(i / mask.fingerprint.heads);
    const auto head = static_cast<uint32_t>(i % mask.fingerprint.heads);
    PutHead(mask.heads[i], layer, head, &out);
    PutThumbnail(mask.heads[i], layer, head, &out);
  }
  for (const KeyDirections& directions : mask.key_directions) PutKeyDirections(directions, &out);
  out.Patch(layout::kChecksumOffset - sizeof(uint64_t), out.bytes().size());
  Hasher checksum;
  const auto bytes = std::as_bytes(std::span(out.bytes()));
  checksum.Add(bytes.first(layout::kChecksumOffset));
  checksum.Add(bytes.subspan(layout::kHeaderBytes));
  out.Patch(layout::kChecksumOffset, checksum.value());
  return std::move(out.bytes());
}

Status WriteMaskFile(const Mask& mask, const std::string& path) {
  DAMASK_ASSIGN_OR_RETURN(const std::string bytes, SerializeMask(mask));
  return WriteFileAtomically(path, bytes);
}

}  // namespace damask::masks
