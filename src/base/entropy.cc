#include "base/entropy.h"

#include <chrono>
#include <exception>
#include <random>

namespace damask {

uint64_t RandomSeed() {
  try {
    std::random_device random;
    return (uint64_t{random()} << 32) | random();
  } catch (const std::exception&) {  // a system without a source of randomness: what differs from run to run must do
    return static_cast<uint64_t>(std::chrono::high_resolution_clock::now().time_since_epoch().count());
  }
}

}  // namespace damask
