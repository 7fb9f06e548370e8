#include "cli/sampling_flags.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "cli/text_input.h"

namespace damask::cli {

void SamplingFlags::DeclareDrawing(Flags* flags) {
  flags->Number("--temp,--temperature", 0, 100, &temperature, "temperature, 0 always takes the likeliest token (default: 0.8)");
  flags->Uint("--top-k", 0, limits::kMaxVocab, &top_k, "draw from the K likeliest tokens, 0 from all (default: 40)");
  flags->Number("--top-p", 0, 1, &top_p,
                "draw from the likeliest tokens that together hold P, 1 from all, 0 the likeliest (default: 0.95)");
  flags->Number("--min-p", 0, 1, &min_p, "leave out tokens less likely than P times the likeliest, 0 none (default: 0.05)");
  flags->Number("--repeat-penalty", 0.01, 100, &repeat_penalty, "make tokens seen lately less likely, 1 does not (default: 1)");
  flags->Uint("--repeat-last-n", 0, limits::kMaxContext, &repeat_last_n, "how many tokens count as lately (default: 64)");
  flags->Seed("-s,--seed", &seed, "the same seed gives the same text; -1 is a random one (default: -1)");
}

void SamplingFlags::Declare(Flags* flags) {
  flags->Group("Answer");
  flags->Limit("-n,--predict,--n-predict", kNoTokenLimit, &max_tokens,
               fmt::format("tokens to generate at most, -1 for what the context holds (default: {})",
                           default_tokens == kNoTokenLimit ? "-1" : std::to_string(default_tokens)));
  DeclareDrawing(flags);
  flags->Texts("-r,--reverse-prompt,--stop", "TEXT", &stop, "end the answer before this text");
  flags->Uint("--draft-max", 0, limits::kMaxContext, &draft_max,
              "guess up to N tokens where the text repeats itself and check them at once: the same answer sooner (default: 0)");
  flags->Alias("--draft", "--draft-max");
  flags->Alias("--draft-n", "--draft-max");
  flags->Switch("--special", &special, "show control tokens as text");
  flags->Alias("-sp", "--special");
}

Result<engine::GenerateOptions> SamplingFlags::Options(bool escape) const {
  engine::GenerateOptions options;
  options.max_tokens = max_tokens.value_or(default_tokens);
  options.sampler.temperature = static_cast<float>(temperature);
  options.sampler.top_k = top_k;
  options.sampler.SetTopP(top_p);
  options.sampler.min_p = static_cast<float>(min_p);
  options.sampler.repeat_penalty = static_cast<float>(repeat_penalty);
  options.sampler.repeat_last_n = repeat_last_n;
  options.sampler.seed = seed;
  options.show_special = special;
  options.guesses = draft_max;
  for (const std::string& text : stop) {
    if (text.empty()) return InvalidArgument("--stop: the text is empty");
    if (!IsValidUtf8(text)) return InvalidArgument("--stop: " + Quote(text) + " is not valid UTF-8");
    options.stop.push_back(escape ? ProcessEscapes(text) : text);
  }
  DAMASK_RETURN_IF_ERROR(engine::ValidateSamplerOptions(options.sampler));
  return options;
}

}  // namespace damask::cli
