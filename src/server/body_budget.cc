#include "server/body_budget.h"

namespace damask::server {

bool BodyBudget::Take(uint64_t bytes) {
  uint64_t held = held_.load();
  do {
    if (bytes > limit_ - held) return false;
  } while (!held_.compare_exchange_weak(held, held + bytes));
  return true;
}

bool BodyShare::Grow(uint64_t bytes) {
  if (budget_ == nullptr) return true;
  if (!budget_->Take(bytes)) return false;
  bytes_ += bytes;
  return true;
}

void BodyShare::GiveBack() {
  if (budget_ != nullptr) budget_->Give(std::exchange(bytes_, 0));
}

}  // namespace damask::server
