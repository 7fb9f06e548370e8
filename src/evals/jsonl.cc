#include "evals/jsonl.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "base/timer.h"
#include "evals/score.h"
#include "formats/json.h"

namespace damask::evals {
namespace {

using formats::Json;

Result<std::string> RequiredText(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> text, formats::JsonString(object, key));
  if (!text) return BadFormat(fmt::format("\"{}\" is missing", key));
  return *std::move(text);
}

// "question", or "input" as LongBench and LV-Eval have it.
Result<std::string> QuestionOf(const Json& object) {
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> question, formats::JsonString(object, "question"));
  if (question) return *std::move(question);
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> input, formats::JsonString(object, "input"));
  if (!input) return BadFormat("\"question\" is missing");
  return *std::move(input);
}

// Every text has an empty one in it: a score by what it contains would count each answer as right.
Status CheckFindable(const std::vector<std::string>& answers, texts::Metric metric) {
  if (metric != texts::Metric::kSubstring && metric != texts::Metric::kAllSubstrings) return {};
  for (const std::string& answer : answers) {
    if (answer.find_first_not_of(" \t\r\n") == std::string::npos) {
      return BadFormat(fmt::format("\"answers\" has an empty text, expected one that {} can look for", MetricName(metric)));
    }
  }
  return {};
}

Result<std::vector<std::string>> AnswersOf(const Json& object) {
  const auto found = object.find("answers");
  if (found == object.end()) return BadFormat("\"answers\" is missing");
  if (found->is_string()) return std::vector<std::string>{found->get<std::string>()};
  if (!found->is_array() || found->empty() ||
      !std::all_of(found->begin(), found->end(), [](const Json& answer) { return answer.is_string(); })) {
    return BadFormat("\"answers\" is no text and no list of texts with one at least");
  }
  return found->get<std::vector<std::string>>();
}

Result<texts::Sample> ParseSample(std::string_view line, texts::Metric metric) {
  DAMASK_ASSIGN_OR_RETURN(const Json object, formats::ParseJson(line));
  if (!object.is_object()) return BadFormat("found no JSON object");
  DAMASK_ASSIGN_OR_RETURN(const std::string context, RequiredText(object, "context"));
  DAMASK_ASSIGN_OR_RETURN(const std::string question, QuestionOf(object));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<std::string> keywords, formats::JsonString(object, "answer_keywords"));
  texts::Sample sample;
  DAMASK_ASSIGN_OR_RETURN(sample.expected, AnswersOf(object));
  DAMASK_RETURN_IF_ERROR(CheckFindable(sample.expected, metric));
  sample.text = context + "\n\n";
  sample.question = "Question: " + question + "\n";
  sample.prefix = "Answer:";
  sample.keywords = keywords.value_or("");
  sample.metric = metric;
  return sample;
}

// A question as it is put.
struct Fitted {
  texts::Sample sample;
  bool truncated = false;
};

// Cuts the middle out of sample->text until the prompt has at most `tokens` tokens; whether anything was cut.
Result<bool> FitPrompt(const engine::Engine& engine, const Prompts& prompts, uint64_t tokens, texts::Sample* sample) {
  DAMASK_ASSIGN_OR_RETURN(std::vector<engine::TokenId> prompt, prompts.Encode(*sample));
  if (prompt.size() <= tokens) return false;
  DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> text,
                          engine.tokenizer().Encode(sample->text, tokenizer::Special::kPlain));
  size_t keep = text.size();
  while (prompt.size() > tokens) {
    const size_t excess = prompt.size() - tokens;
    if (keep <= excess) {
      return InvalidArgument(
          fmt::format("the question alone does not fit the {} tokens that -c leaves beside the answer's, -n", tokens));
    }
    keep -= excess;
    const std::span<const engine::TokenId> ids = text;
    // Characters whose tokens were torn apart become U+FFFD.
    sample->text = SanitizeUtf8(engine.tokenizer().Decode(ids.first((keep + 1) / 2), false)) +
                   SanitizeUtf8(engine.tokenizer().Decode(ids.last(keep / 2), false));
    DAMASK_ASSIGN_OR_RETURN(prompt, prompts.Encode(*sample));
  }
  return true;
}

// All of them, as the last one may be the one that does not fit.
Result<std::vector<Fitted>> FitAll(const engine::Engine& engine, const Prompts& prompts, uint64_t tokens,
                                   const std::vector<texts::Sample>& samples, const std::atomic<bool>* cancel) {
  std::vector<Fitted> fitted;
  for (const texts::Sample& sample : samples) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) break;
    Fitted& one = fitted.emplace_back(Fitted{sample});
    const Result<bool> truncated = FitPrompt(engine, prompts, tokens, &one.sample);
    if (!truncated.ok()) return truncated.status().At(fmt::format("sample {}", fitted.size()));
    one.truncated = *truncated;
  }
  return fitted;
}

}  // namespace

Result<std::vector<texts::Sample>> ReadJsonlSamples(std::string_view text, texts::Metric metric) {
  std::vector<texts::Sample> samples;
  size_t number = 0;
  for (const std::string_view line : Split(text, '\n')) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    Result<texts::Sample> sample = ParseSample(line, metric);
    if (!sample.ok()) return sample.status().At(fmt::format("line {}", number));
    samples.push_back(std::move(*sample));
  }
  if (samples.empty()) return InvalidArgument("there is no question in the file");
  return samples;
}

Result<JsonlResult> RunJsonl(engine::Engine* engine, const std::vector<texts::Sample>& samples, const JsonlRun& run,
                             const EvalProgress& progress, const std::atomic<bool>* cancel) {
  const uint64_t context = run.context == 0 ? engine->context() : run.context;
  if (context > engine->context()) {
    return InvalidArgument(fmt::format("a context of {} does not fit the engine's {}", context, engine->context()));
  }
  if (context <= run.max_tokens) {
    return InvalidArgument(
        fmt::format("a context of {} tokens (-c) has no room for a prompt beside {} of answer (-n)", context, run.max_tokens));
  }
  const Prompts prompts(engine, run.form);
  uint64_t total = 0;
  for (const texts::Sample& sample : samples) total += sample.text.size();
  uint64_t done = 0;
  const Timer timer;
  JsonlResult result;
  DAMASK_ASSIGN_OR_RETURN(const std::vector<Fitted> fitted,
                          FitAll(*engine, prompts, context - run.max_tokens, samples, cancel));
  result.cancelled = fitted.size() < samples.size();
  for (size_t i = 0; i < samples.size() && !result.cancelled; ++i) {
    JsonlAnswer answer;
    answer.sample = i;
    answer.truncated = fitted[i].truncated;
    Result<Answered> answered = Ask(engine, prompts, fitted[i].sample, run.max_tokens, cancel);
    result.cancelled = answered.status().code() == StatusCode::kCancelled;
    if (result.cancelled) break;
    if (!answered.ok()) return answered.status().At(fmt::format("sample {}", i + 1));
    answer.answered = std::move(*answered);
    result.answers.push_back(std::move(answer));
    done += samples[i].text.size();
    if (progress) progress(done, total, timer.Seconds());
  }
  std::vector<Answered> answers;
  answers.reserve(result.answers.size());
  for (const JsonlAnswer& answer : result.answers) answers.push_back(answer.answered);
  result.summary = Summarise(answers);
  return result;
}

}  // namespace damask::evals
