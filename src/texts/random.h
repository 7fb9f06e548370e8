// Random choices that are the same on every machine and with every standard library: its engines are fixed by the standard, its
// distributions and std::shuffle are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace damask::texts {

// splitmix64 (Steele, Lea and Flood 2014): neighbouring numbers give seeds that have nothing in common.
inline uint64_t MixSeed(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // Uniform in [0, bound); bound is at least 1.
  uint64_t Below(uint64_t bound) {
    const uint64_t reject = -bound % bound;  // so many of the lowest numbers would make some results likelier
    uint64_t drawn = engine_();
    while (drawn < reject) drawn = engine_();
    return drawn % bound;
  }

  template <typename T>
  void Shuffle(std::vector<T>* values) {
    for (size_t left = values->size(); left > 1; --left) std::swap((*values)[left - 1], (*values)[Below(left)]);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace damask::texts
