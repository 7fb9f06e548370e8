// The numbers of tca: shares, and which keys of a group are its core.
#include <algorithm>
#include <cmath>

#include "policies/tca.h"

namespace damask::policies {

std::vector<float> ScaleShares(std::vector<float> shares, double mean) {
  double least = 1;
  for (float& share : shares) least = std::min<double>(least, share = std::clamp(share, 1e-6f, 1.0f));
  const auto mean_with = [&](double factor) {
    double sum = 0;
    for (const float share : shares) sum += std::min(1.0, factor * static_cast<double>(share));
    return sum / static_cast<double>(shares.size());
  };
  double low = 0;
  double high = 1 / least;  // all shares are 1
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (mean_with(middle) < mean ? low : high) = middle;
  }
  for (float& share : shares) share = static_cast<float>(std::min(1.0, high * static_cast<double>(share)));
  return shares;
}

void ChooseCore(std::span<const float> keys, size_t dim, std::span<const float> importance, double lambda, size_t forced,
                size_t count, std::vector<uint32_t>* chosen) {
  const size_t n = importance.size();
  std::vector<float> unit(keys.begin(), keys.end());
  for (size_t i = 0; i < n; ++i) {
    float norm = 0;
    for (size_t d = 0; d < dim; ++d) norm += unit[i * dim + d] * unit[i * dim + d];
    const float scale = norm > 0 ? 1 / std::sqrt(norm) : 0.0f;
    for (size_t d = 0; d < dim; ++d) unit[i * dim + d] *= scale;
  }
  std::vector<float> likeness(n, 0.0f);
  std::vector<char> taken(n, 0);
  chosen->clear();
  while (chosen->size() < std::min(count, n)) {
    size_t best = chosen->size() < forced ? chosen->size() : n;
    double best_score = 0;
    for (size_t i = 0; i < n; ++i) {
      if (taken[i] != 0 || chosen->size() < forced) continue;
      const double score = static_cast<double>(importance[i]) * (1 - lambda * static_cast<double>(likeness[i]));
      if (best == n || score > best_score) best = i, best_score = score;
    }
    taken[best] = 1;
    chosen->push_back(static_cast<uint32_t>(best));
    for (size_t i = 0; i < n; ++i) {
      float cosine = 0;
      for (size_t d = 0; d < dim; ++d) cosine += unit[i * dim + d] * unit[best * dim + d];
      likeness[i] = std::max(likeness[i], std::min(cosine, 1.0f));
    }
  }
}

}  // namespace damask::policies
