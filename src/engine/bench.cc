#include "engine/bench.h"

#include <algorithm>

#include "base/timer.h"

namespace damask::engine {
namespace {

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Ids all over the vocabulary, the same every time.
std::vector<TokenId> Ids(uint64_t count, size_t vocab) {
  std::vector<TokenId> ids(count);
  for (uint64_t i = 0; i < count; ++i) ids[i] = static_cast<TokenId>((i * 7919 + 13) % vocab);
  return ids;
}

Result<double> TimeDecode(Session* session, uint64_t tokens, const std::atomic<bool>* cancel) {
  const uint64_t depth = session->length();
  const Timer timer;
  for (uint64_t i = 0; i < tokens; ++i) {
    const TokenId id = Argmax(session->logits());
    DAMASK_RETURN_IF_ERROR(session->Decode(id, cancel));
  }
  const double seconds = timer.Seconds();
  session->Truncate(depth);
  return static_cast<double>(tokens) / seconds;
}

}  // namespace

double LinearFlopsPerToken(const model::ModelConfig& c) {
  const double attention = static_cast<double>(c.width) * static_cast<double>(2 * c.q_width() + 2 * c.kv_width());
  const double feed_forward = 3.0 * static_cast<double>(c.width) * static_cast<double>(c.ffn);
  return 2.0 * static_cast<double>(c.layers) * (attention + feed_forward);
}

double OutputFlops(const model::ModelConfig& c) { return 2.0 * static_cast<double>(c.width) * static_cast<double>(c.vocab); }

double AttentionFlops(const model::ModelConfig& c, uint64_t tokens) {
  const double pairs = static_cast<double>(tokens) * (static_cast<double>(tokens) + 1.0) / 2.0;
  return 4.0 * static_cast<double>(c.head_dim) * static_cast<double>(c.heads) * static_cast<double>(c.layers) * pairs;
}

uint64_t WeightBytesPerToken(const model::Model& model) {
  const auto bytes = [](const kernels::WeightView& w) { return w.n * formats::RowBytes(w.type, w.k); };
  uint64_t sum = bytes(model.output());
  for (const model::LayerWeights& w : model.layers()) {
    sum += bytes(w.q) + bytes(w.k) + bytes(w.v) + bytes(w.o) + bytes(w.gate) + bytes(w.up) + bytes(w.down);
  }
  return sum;
}

Result<BenchResult> RunBench(Engine* engine, const BenchOptions& options, const std::atomic<bool>* cancel) {
  const model::ModelConfig& config = engine->model().config();
  BenchResult result;
  {
    Session warm_up(engine);
    DAMASK_RETURN_IF_ERROR(warm_up.Append(Ids(std::min<uint64_t>(64, engine->context()), config.vocab), nullptr, cancel));
  }
  for (const uint64_t tokens : options.prompts) {
    const std::vector<TokenId> ids = Ids(tokens, config.vocab);
    std::vector<double> seconds;
    for (uint64_t r = 0; r < options.repeat; ++r) {
      Session session(engine);
      const Timer timer;
      DAMASK_RETURN_IF_ERROR(session.Append(ids, nullptr, cancel));
      seconds.push_back(timer.Seconds());
    }
    const double flops =
        LinearFlopsPerToken(config) * static_cast<double>(tokens) + OutputFlops(config) + AttentionFlops(config, tokens);
    result.prefill.push_back({tokens, Median(seconds), flops});
  }
  if (options.generate == 0) return result;
  for (const uint64_t depth : options.depths) {
    Session session(engine);
    // Depth 0 still needs one token to have logits.
    DAMASK_RETURN_IF_ERROR(session.Append(Ids(std::max<uint64_t>(depth, 1), config.vocab), nullptr, cancel));
    std::vector<double> rates;
    for (uint64_t r = 0; r < options.repeat; ++r) {
      DAMASK_ASSIGN_OR_RETURN(const double rate, TimeDecode(&session, options.generate, cancel));
      rates.push_back(rate);
    }
    const double kv = static_cast<double>(engine->kv_bytes_per_token()) *
                      (static_cast<double>(depth) + static_cast<double>(options.generate) / 2.0);
    result.decode.push_back({depth, Median(rates), static_cast<double>(WeightBytesPerToken(engine->model())) + kv});
  }
  return result;
}

}  // namespace damask::engine
