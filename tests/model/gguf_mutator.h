// What a converter may get wrong in a sound file: a number, a name, a shape, a tensor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/model/gguf_parts.h"

namespace damask::model {

// The same mistakes for the same seed.
class GgufMutator {
 public:
  GgufMutator(GgufParts* parts, uint32_t seed) : parts_(*parts), random_(seed) {
    for (const GgufParts::Key& key : parts_.keys) {
      if (key.name == "general.architecture") arch_ = key.value.substr(8);
    }
  }

  void Mutate() {
    switch (random_() % 9) {
      case 0:
      case 1:
      case 2: return ChangeNumber();
      case 3: return AddNumber();
      case 4: return BecomeAnother();
      case 5: return Drop();
      case 6: return Reshape();
      case 7: return std::swap(Any(&parts_.tensors).name, Any(&parts_.tensors).name);
      default: return Rename();
    }
  }

  void SpoilData() {
    for (uint32_t left = 1 + random_() % 50; left > 0; --left)
      Any(&parts_.data) = static_cast<char>(One({0x00, 0x7f, 0x80, 0xff}));
  }

 private:
  template <typename Container>
  typename Container::value_type& Any(Container* container) {
    return (*container)[random_() % container->size()];
  }
  template <typename T>
  T One(std::initializer_list<T> values) {
    return values.begin()[random_() % values.size()];
  }

  uint32_t Whole() {
    return One<uint32_t>({0,    1,    2,    3,     4,     5,        7,        8,          15,         16,        17,
                          31,   32,   63,   64,    65,    128,      255,      256,        257,        320,       321,
                          1000, 1024, 4096, 65535, 65536, 1u << 20, 1u << 24, 0x7fffffff, 0x80000000, 0xffffffff});
  }
  float Real() {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    return One<float>(
        {0, -1, 1, 0.5f, 1e-30f, 1e6f, 1e30f, 3e38f, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()});
  }
  bool IsOwn(const GgufParts::Key& key) const { return key.name.starts_with(arch_ + "."); }

  void ChangeNumber() {
    GgufParts::Key* key = &Any(&parts_.keys);
    while (!IsOwn(*key)) key = &Any(&parts_.keys);
    if (key->type == formats::test::kF32) {
      key->value = formats::test::Le(Real());
    } else if (key->type == formats::test::kU32 || random_() % 2 == 0) {
      key->type = formats::test::kU32;
      key->value = formats::test::Le(Whole());
    } else {
      key->type = formats::test::kArray;  // one for each layer, or not
      const uint64_t count = random_() % 5;
      key->value = formats::test::Le<uint32_t>(formats::test::kU32) + formats::test::Le(count);
      for (uint64_t i = 0; i < count; ++i) key->value += formats::test::Le(Whole());
    }
  }

  void AddNumber() {
    const std::string name = arch_ + One<const char*>({".attention.sliding_window",
                                                       ".rope.scaling.factor",
                                                       ".expert_count",
                                                       ".rope.scaling.original_context_length",
                                                       ".expert_used_count",
                                                       ".expert_shared_count",
                                                       ".expert_weights_scale",
                                                       ".attention.scale",
                                                       ".leading_dense_block_count",
                                                       ".nextn_predict_layers",
                                                       ".logit_scale",
                                                       ".expert_feed_forward_length",
                                                       ".attention.key_length",
                                                       ".attention.value_length",
                                                       ".rope.dimension_count",
                                                       ".embedding_scale",
                                                       ".residual_scale",
                                                       ".expert_gating_func",
                                                       ".expert_group_count",
                                                       ".attention.temperature_scale",
                                                       ".attention.temperature_length"});
    std::erase_if(parts_.keys, [&](const GgufParts::Key& key) { return key.name == name; });
    if (random_() % 2 == 0)
      parts_.keys.push_back({name, formats::test::kU32, formats::test::Le(Whole())});
    else
      parts_.keys.push_back({name, formats::test::kF32, formats::test::Le(Real())});
  }

  void BecomeAnother() {
    const std::string other = One<const char*>({"llama", "qwen2", "qwen3", "qwen3moe", "phi3", "gemma3", "gpt-oss", "glm4",
                                                "glm4moe", "olmo2", "granite", "ernie4_5-moe", "seed_oss", "smollm3"});
    for (GgufParts::Key& key : parts_.keys) {
      if (IsOwn(key)) key.name = other + key.name.substr(arch_.size());
      if (key.name == "general.architecture") key.value = formats::test::GgufString(other);
    }
    arch_ = other;
  }

  void Drop() { parts_.tensors.erase(parts_.tensors.begin() + static_cast<std::ptrdiff_t>(random_() % parts_.tensors.size())); }

  void Reshape() {
    std::vector<uint64_t>& dims = Any(&parts_.tensors).dims;
    switch (random_() % 4) {
      case 0: return std::reverse(dims.begin(), dims.end());
      case 1: return dims.insert(dims.begin(), 1), void();
      case 2: return dims.push_back(1);
      default: dims.front() /= 2;
    }
  }

  void Rename() {
    Any(&parts_.tensors).name =
        One<const char*>({"blk.0.attn_q.bias", "blk.0.ffn_gate_exps.weight", "blk.1.ffn_gate_shexp.weight", "rope_freqs.weight",
                          "output.weight", "blk.0.attn_sinks.weight", "blk.0.attn_qkv.weight", "blk.1.exp_probs_b.bias",
                          "blk.1.ffn_gate_inp.weight", "blk.0.attn_q_norm.weight", "blk.99.x", "x"});
  }

  GgufParts& parts_;
  std::mt19937 random_;
  std::string arch_;
};

}  // namespace damask::model
