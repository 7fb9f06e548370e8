// One regular expression over UTF-8 text, matched in bounded time and memory (PCRE2, compiled to machine code where it can be).
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;

namespace damask::tokenizer {

struct ByteRange {
  size_t begin = 0;
  size_t end = 0;
};

// Immutable after Compile(): matching goes through a Matcher of one's own, so threads share a Regex.
class Regex {
 public:
  // `pattern` in the syntax that tokenizer files use (Oniguruma, Rust): \s is Unicode's White_Space, ^ and $ match at lines, \d
  // and \w know all scripts. Unsupported, naming the pattern, where PCRE2 cannot express it.
  static Result<Regex> Compile(std::string_view pattern);

  // What finding all matches in so much text may take. Sound patterns need far less.
  static std::chrono::nanoseconds TimeFor(size_t text_bytes);

  // Finds successive matches. Not thread-safe; cheap to make.
  class Matcher {
   public:
    // `time`: of the thread, for all matches together. What one start of a match takes longer is bounded by steps.
    explicit Matcher(const Regex& regex, std::chrono::nanoseconds time = TimeFor(0));

    // The first match in `text` that starts at `from` or later and is not empty. `text` must be valid UTF-8. InvalidArgument
    // where the pattern needs more steps at one start than a linear one could, or more time than was given: the pattern or the
    // text was made to stall.
    Result<std::optional<ByteRange>> Next(std::string_view text, size_t from);

   private:
    struct Free {
      void operator()(pcre2_real_match_data_8* data) const;
      void operator()(pcre2_real_match_context_8* context) const;
    };
    Status TooManySteps(std::string_view sign) const;
    void LimitSteps(size_t text_bytes);
    int Match(std::string_view text, size_t from, size_t starts);
    Result<std::optional<ByteRange>> Found(int rc, size_t from) const;

    const Regex& regex_;
    std::chrono::nanoseconds deadline_;
    std::unique_ptr<pcre2_real_match_data_8, Free> data_;
    std::unique_ptr<pcre2_real_match_context_8, Free> context_;
    size_t limited_for_ = 0;  // text size that the step limit in context_ was set for
    size_t matches_ = 0;      // asked for
  };

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  Regex() = default;

  std::string pattern_;  // as given
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace damask::tokenizer
