#include "engine/by_halves.h"

namespace damask::engine {
namespace {

class Halver {
 public:
  Halver(uint64_t most_tries, const TakeItems& take) : tries_left_(most_tries), take_(take) {}

  // Whether all of [begin, end) were taken together. `known_to_fail`: with what has been taken so far it is what failed before.
  Result<bool> Offer(size_t begin, size_t end, bool known_to_fail) {
    if (!known_to_fail) {
      if (tries_left_ == 0) return false;
      --tries_left_;
      DAMASK_ASSIGN_OR_RETURN(const bool taken, take_(begin, end));
      if (taken) return true;
    }
    if (end - begin < 2) return false;
    const size_t middle = begin + (end - begin + 1) / 2;
    DAMASK_ASSIGN_OR_RETURN(const bool first_half, Offer(begin, middle, false));
    DAMASK_RETURN_IF_ERROR(Offer(middle, end, first_half).status());
    return false;
  }

 private:
  uint64_t tries_left_;
  const TakeItems& take_;
};

}  // namespace

Status TakeByHalves(size_t items, uint64_t most_tries, const TakeItems& take) {
  if (items == 0) return {};
  return Halver(most_tries, take).Offer(0, items, false).status();
}

}  // namespace damask::engine
