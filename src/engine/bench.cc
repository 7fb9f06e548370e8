#include "engine/bench.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "base/timer.h"

namespace damask::engine {
namespace {

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
  const Timer timer;
  for (uint64_t i = 0; i < tokens; ++i) {
    const TokenId id = Argmax(session->logits());
    DAMASK_RETURN_IF_ERROR(session->Decode(id, cancel));
    measurement.Tell(i + 1);
  }
  return static_cast<double>(tokens) / timer.Seconds();
}

// Back to the text alone. Where pages are gone, or the policy cannot go back so far, that means reading it again.
Status GoBackTo(std::span<const TokenId> text, Session* session, const PrefillProgress& progress,
                const std::atomic<bool>* cancel) {
  session->Truncate(text.size());
  if (session->length() == text.size()) return {};
  session->Truncate(0);
  return session->Append(text, progress, cancel);
}

}  // namespace

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

double PrefillFlops(const model::ModelConfig& c, uint64_t tokens, double density) {
  const auto width = static_cast<double>(c.width);
  const auto rows = static_cast<double>(tokens);
  const double inputs = 2.0 * width * static_cast<double>(c.q_width() + 2 * c.kv_width());
  const double pair = density * 4.0 * static_cast<double>(c.head_dim) * static_cast<double>(c.heads);
  double sum = 2.0 * width * static_cast<double>(c.vocab);
  for (size_t layer = 0; layer < c.layers; ++layer) {
    const size_t ffn = !c.has_experts(layer) ? c.dense_width() : c.experts_used * c.ffn + c.shared_ffn;
    const size_t router = c.has_experts(layer) ? c.experts : 0;
    const double behind = 2.0 * width * static_cast<double>(c.q_width() + router + 3 * ffn);
    const bool last = layer + 1 == c.layers;  // behind its keys and values only one row matters
    sum += rows * inputs + (last ? behind + rows * pair : rows * behind + rows * (rows + 1.0) / 2.0 * pair);
  }
  return sum;
}

uint64_t WeightBytesPerToken(const model::Model& model) {
  const auto bytes = [](const kernels::WeightView& w) { return w.n * formats::RowBytes(w.type, w.k); };
  uint64_t sum = bytes(model.output());
  for (const model::LayerWeights& w : model.layers()) {
    sum += bytes(w.q) + bytes(w.k) + bytes(w.v) + bytes(w.o) + bytes(w.router);
    const auto of_network = [&](const model::FeedForwardWeights& f) { return bytes(f.gate) + bytes(f.up) + bytes(f.down); };
    const uint64_t networks = w.router.data == nullptr ? 1 : model.config().experts_used;
    sum += networks * of_network(w.feed_forward[0]) + of_network(w.shared);  // experts are alike
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

// Keys and values of so many planned (query, key) pairs of single heads.
double KvBytes(const Engine& engine, uint64_t planned_pairs) {
  const model::ModelConfig& c = engine.model().config();
  return static_cast<double>(engine.kv_bytes_per_token()) * static_cast<double>(planned_pairs) /
         static_cast<double>(c.layers * c.heads);
}

// Tokens per second behind `depth` positions.
Result<DecodeTiming> MeasureDecode(Engine* engine, uint64_t depth, const BenchOptions& options, const PrefillProgress& progress,
                                   const std::atomic<bool>* cancel) {
  Session session(engine);
  // Depth 0 still needs one token to have logits.
  const std::vector<TokenId> text = Ids(std::max<uint64_t>(depth, 1), engine->model().config().vocab);
  Measurement measurement(progress, options.repeat * options.generate);
  std::vector<double> rates;
  uint64_t planned_pairs = 0;
  for (uint64_t r = 0; r < options.repeat; ++r) {
    DAMASK_RETURN_IF_ERROR(GoBackTo(text, &session, progress, cancel));
    engine->ResetStats();
    DAMASK_ASSIGN_OR_RETURN(const double rate, TimeDecode(&session, options.generate, measurement, cancel));
    planned_pairs += engine->stats().planned_pairs;
    rates.push_back(rate);
    measurement.Done(options.generate);
  }
  const double kv = KvBytes(*engine, planned_pairs) / static_cast<double>(options.repeat * options.generate);
  return DecodeTiming{depth, Median(std::move(rates)), static_cast<double>(WeightBytesPerToken(engine->model())) + kv};
}

Status CheckOnce(const char* flag, const std::vector<uint64_t>& lengths) {
  for (const uint64_t length : lengths) {
    if (std::count(lengths.begin(), lengths.end(), length) == 1) continue;
    return InvalidArgument(fmt::format("{}: {} is there twice", flag, length));
  }
  return {};
}

// Before anything is measured that would be lost.
Status CheckLengths(const Engine& engine, const BenchOptions& options) {
  DAMASK_RETURN_IF_ERROR(CheckOnce("--prompt", options.prompts));
  DAMASK_RETURN_IF_ERROR(CheckOnce("--depth", options.depths));
  const auto check = [&](const char* what, uint64_t tokens) {
    if (tokens <= engine.context()) return Status();
    return InvalidArgument(fmt::format("{} is {} tokens, the context is {} (-c sets it)", what, tokens, engine.context()));
  };
  for (const uint64_t tokens : options.prompts) DAMASK_RETURN_IF_ERROR(check("--prompt: a prompt", tokens));
  if (options.generate == 0) return {};
  for (const uint64_t depth : options.depths) {
    DAMASK_RETURN_IF_ERROR(
        check("--depth: a depth with what is drawn behind it", std::max<uint64_t>(depth, 1) + options.generate));
  }
  return {};
}

}  // namespace

Result<BenchResult> RunBench(Engine* engine, const BenchOptions& options, const PrefillProgress& progress,
                             const std::atomic<bool>* cancel) {
  const model::ModelConfig& config = engine->model().config();
  DAMASK_RETURN_IF_ERROR(CheckLengths(*engine, options));
  BenchResult result;
  {
    Session warm_up(engine);
    DAMASK_RETURN_IF_ERROR(warm_up.Append(Ids(std::min<uint64_t>(64, engine->context()), config.vocab), nullptr, cancel));
  }
  for (const uint64_t tokens : options.prompts) {
    engine->ResetStats();
    DAMASK_ASSIGN_OR_RETURN(const double seconds,
                            MedianPrefillSeconds(engine, Ids(tokens, config.vocab), options.repeat, progress, cancel));
    result.prefill.push_back({tokens, seconds, PrefillFlops(config, tokens, engine->stats().density())});
  }
  if (options.generate == 0) return result;
  for (const uint64_t depth : options.depths) {
    DAMASK_ASSIGN_OR_RETURN(const DecodeTiming timing, MeasureDecode(engine, depth, options, progress, cancel));
    result.decode.push_back(timing);
  }
  return result;
}

}  // namespace damask::engine
