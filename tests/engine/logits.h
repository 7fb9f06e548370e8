// Logits of a text, and how far those of two engines are apart.
#pragma once

#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine.h"

namespace damask::engine {

inline std::vector<float> LogitsOf(Engine* engine, std::span<const TokenId> ids) {
  Session session(engine);
  const Status status = session.Append(ids, nullptr, nullptr);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return {session.logits().begin(), session.logits().end()};
}

// Normalised mean squared error.
inline double Nmse(std::span<const float> a, std::span<const float> b) {
  double error = 0;
  double norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  return error / norm;
}

}  // namespace damask::engine
