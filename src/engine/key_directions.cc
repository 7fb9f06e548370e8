#include "engine/key_directions.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <Eigen/Dense>

namespace damask::engine {
namespace {

using Matrix = Eigen::MatrixXd;

constexpr size_t kRankStep = 16;  // directions are multiplied 16 at a time

Matrix Covariance(const std::vector<double>& products, const std::vector<double>& sum, uint64_t count, size_t n) {
  const auto size = static_cast<Eigen::Index>(n);
  const double scale = count == 0 ? 0.0 : 1.0 / static_cast<double>(count);
  Matrix c(size, size);
  for (Eigen::Index i = 0; i < size; ++i) {
    for (Eigen::Index j = 0; j < size; ++j) {
      c(i, j) = products[static_cast<size_t>(i * size + j)] * scale;
      if (!sum.empty()) c(i, j) -= sum[static_cast<size_t>(i)] * sum[static_cast<size_t>(j)] * scale * scale;
    }
  }
  return c;
}

struct Covariances {
  Covariances(const Moments& moments, size_t head_dim)
      : keys(Covariance(moments.keys, moments.key_sum, moments.key_count, head_dim)),
        queries(Covariance(moments.queries, {}, moments.query_count, head_dim)) {}

  // What scores lose outside the columns of `kept`, relative to their spread.
  double Error(const Matrix& kept) const {
    const Matrix lost = Matrix::Identity(kept.rows(), kept.rows()) - kept * kept.transpose();
    const double whole = std::max((queries * keys).trace(), 1e-30);
    return std::sqrt(std::max(0.0, (lost * queries * lost * keys).trace()) / whole);
  }

  Matrix keys;
  Matrix queries;
};

}  // namespace

masks::KeyDirections FindDirections(const Moments& moments, const Moments* far, size_t layer, size_t kv_head, size_t head_dim,
                                    double max_error) {
  const Covariances near(moments, head_dim);
  std::optional<Covariances> check;
  if (far != nullptr) check.emplace(*far, head_dim);
  const Matrix product = near.keys * near.queries;
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(0.5 * (product + product.transpose()));
  const Matrix& vectors = solver.eigenvectors();  // ascending eigenvalues
  const auto n = static_cast<Eigen::Index>(head_dim);

  masks::KeyDirections directions;
  directions.layer = static_cast<uint32_t>(layer);
  directions.kv_head = static_cast<uint32_t>(kv_head);
  directions.head_dim = static_cast<uint32_t>(head_dim);
  for (size_t rank = kRankStep; rank <= std::max(kRankStep, head_dim / 2); rank += kRankStep) {
    const Matrix kept = vectors.rightCols(static_cast<Eigen::Index>(rank));
    const double error = std::max(near.Error(kept), check ? check->Error(kept) : 0.0);
    directions.rank = static_cast<uint32_t>(rank);
    directions.error = static_cast<float>(std::min(error, 1.0));
    if (error <= max_error) break;
  }
  for (uint32_t r = 0; r < directions.rank; ++r) {
    for (Eigen::Index d = 0; d < n; ++d)
      directions.values.push_back(static_cast<float>(vectors(d, n - 1 - static_cast<Eigen::Index>(r))));
  }
  return directions;
}

}  // namespace damask::engine
