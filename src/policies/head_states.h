// What a policy remembers of a session when it remembers something of every (layer, KV head) by itself, or of every layer.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "policies/policy.h"

namespace damask::policies {

// T has Truncate(length), bytes() and, where it cannot go back everywhere, ExactLength(length).
template <class T>
class HeadStates : public PolicyState {
 public:
  // Whether the KV heads of a layer have a state each, or share one.
  enum class Of { kHead, kLayer };

  // Each T is made of `arguments`.
  template <class... Arguments>
  explicit HeadStates(const ModelShape& shape, const Arguments&... arguments) : HeadStates(Of::kHead, shape, arguments...) {}
  template <class... Arguments>
  HeadStates(Of of, const ModelShape& shape, const Arguments&... arguments)
      : states_per_layer_(of == Of::kHead ? shape.kv_heads : 1) {
    states_.reserve(shape.layers * states_per_layer_);
    for (size_t i = 0; i < shape.layers * states_per_layer_; ++i) states_.emplace_back(arguments...);
  }

  T& at(size_t layer, size_t kv_head) { return states_[Index(layer, kv_head)]; }
  const T& at(size_t layer, size_t kv_head) const { return states_[Index(layer, kv_head)]; }

  void Truncate(uint64_t length) override {
    for (T& state : states_) state.Truncate(length);
  }
  uint64_t ExactLength(uint64_t length) const override {
    if constexpr (requires(const T& state) { state.ExactLength(length); }) {
      // Rarely more than twice: all states have seen the same rows.
      for (bool again = true; std::exchange(again, false);) {
        for (const T& state : states_) {
          const uint64_t exact = state.ExactLength(length);
          again = again || exact < length;
          length = exact;
        }
      }
    }
    return length;
  }
  uint64_t bytes() const override {
    uint64_t sum = 0;
    for (const T& state : states_) sum += state.bytes();
    return sum;
  }

 private:
  size_t Index(size_t layer, size_t kv_head) const { return layer * states_per_layer_ + kv_head % states_per_layer_; }

  size_t states_per_layer_;
  std::vector<T> states_;
};

}  // namespace damask::policies
