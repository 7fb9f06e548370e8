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

// Tells of one measurement: all repetitions of a prompt or of an answer.
class Measurement {
 public:
  Measurement(const PrefillProgress& progress, uint64_t total) : progress_(progress), total_(total) {}

  void Tell(uint64_t done_of_this) const {
    if (progress_) progress_(done_ + done_of_this, total_, timer_.Seconds());
  }
  void Done(uint64_t tokens) { done_ += tokens; }
  PrefillProgress OfPrefill() const {
    return [this](uint64_t done, uint64_t, double) { Tell(done); };
  }

 private:
  const PrefillProgress& progress_;
  uint64_t total_;
  uint64_t done_ = 0;
  Timer timer_;
};

Result<double> TimeDecode(Session* session, uint64_t tokens, const Measurement& measurement, const std::atomic<bool>* cancel) {
  const uint64_t depth = session->length();
  const Timer timer;
  for (uint64_t i = 0; i < tokens; ++i) {
    const TokenId id = Argmax(session->logits());
    DAMASK_RETURN_IF_ERROR(session->Decode(id, cancel));
    measurement.Tell(i + 1);
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

namespace {

Result<double> MedianPrefillSeconds(Engine* engine, const std::vector<TokenId>& ids, uint64_t repeat,
                                    const PrefillProgress& progress, const std::atomic<bool>* cancel) {
  Measurement measurement(progress, repeat * ids.size());
  std::vector<double> seconds;
  for (uint64_t r = 0; r < repeat; ++r) {
    Session session(engine);
    const Timer timer;
    DAMASK_RETURN_IF_ERROR(session.Append(ids, measurement.OfPrefill(), cancel));
    seconds.push_back(timer.Seconds());
    measurement.Done(ids.size());
  }
  return Median(std::move(seconds));
}

// Tokens per second behind `depth` positions.
Result<double> MedianDecodeRate(Engine* engine, uint64_t depth, const BenchOptions& options, const PrefillProgress& progress,
                                const std::atomic<bool>* cancel) {
  Session session(engine);
  // Depth 0 still needs one token to have logits.
  DAMASK_RETURN_IF_ERROR(session.Append(Ids(std::max<uint64_t>(depth, 1), engine->model().config().vocab), progress, cancel));
  Measurement measurement(progress, options.repeat * options.generate);
  std::vector<double> rates;
  for (uint64_t r = 0; r < options.repeat; ++r) {
    DAMASK_ASSIGN_OR_RETURN(const double rate, TimeDecode(&session, options.generate, measurement, cancel));
    rates.push_back(rate);
    measurement.Done(options.generate);
  }
  return Median(std::move(rates));
}

}  // namespace

Result<BenchResult> RunBench(Engine* engine, const BenchOptions& options, const PrefillProgress& progress,
                             const std::atomic<bool>* cancel) {
  const model::ModelConfig& config = engine->model().config();
  BenchResult result;
  {
    Session warm_up(engine);
    DAMASK_RETURN_IF_ERROR(warm_up.Append(Ids(std::min<uint64_t>(64, engine->context()), config.vocab), nullptr, cancel));
  }
  for (const uint64_t tokens : options.prompts) {
    DAMASK_ASSIGN_OR_RETURN(const double seconds,
                            MedianPrefillSeconds(engine, Ids(tokens, config.vocab), options.repeat, progress, cancel));
    const double flops =
        LinearFlopsPerToken(config) * static_cast<double>(tokens) + OutputFlops(config) + AttentionFlops(config, tokens);
    result.prefill.push_back({tokens, seconds, flops});
  }
  if (options.generate == 0) return result;
  for (const uint64_t depth : options.depths) {
    DAMASK_ASSIGN_OR_RETURN(const double rate, MedianDecodeRate(engine, depth, options, progress, cancel));
    const double kv = static_cast<double>(engine->kv_bytes_per_token()) *
                      (static_cast<double>(depth) + static_cast<double>(options.generate) / 2.0);
    result.decode.push_back({depth, rate, static_cast<double>(WeightBytesPerToken(engine->model())) + kv});
  }
  return result;
}

}  // namespace damask::engine
