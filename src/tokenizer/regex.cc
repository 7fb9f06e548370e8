#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <time.h>

#include <algorithm>
#include <new>

#include "base/text.h"

namespace damask::tokenizer {
namespace {

constexpr size_t kMaxPatternBytes = 1 << 16;
// A pattern that is linear in the text needs a few steps a character; backtracking over all of it a few dozen.
constexpr uint64_t kStepsPerByte = 64;
constexpr uint64_t kMinSteps = 1'000'000;
constexpr uint32_t kHeapLimitKib = 256 * 1024;
// PCRE2 counts the steps of each start anew, and none in loops that it need not go back into. So the clock is looked at as
// well: every so many matches, and where none is found, between strides of so many starts. Strides grow while they are quick.
constexpr size_t kMatchesPerLook = 32;
constexpr size_t kFirstStride = 64;
constexpr size_t kStrideGrowth = 8;

// Time of this thread alone: a busy machine makes no difference.
std::chrono::nanoseconds ThreadTime() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// Unicode's White_Space, as Rust, Oniguruma and llama.cpp understand \s. PCRE2's own \s has U+180E as well.
constexpr std::string_view kSpaceMembers = "\\t-\\r\\x{85}\\p{Z}";

// The same pattern in PCRE2's words.
Result<std::string> Translate(std::string_view pattern) {
  // Leftmost matches of \s+$ start where a run of spaces starts. Saying so spares one try per space of every run.
  if (pattern == "\\s+$") return fmt::format("(?<![{0}])[{0}]+$", kSpaceMembers);
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 'G') {
        return Unsupported(fmt::format("the regular expression {} asks where the last match ended (\\G)", Quote(pattern)));
      }
      if (escaped == 's') {
        out += in_class ? std::string(kSpaceMembers) : fmt::format("[{}]", kSpaceMembers);
      } else if (escaped == 'S' && !in_class) {
        out += fmt::format("[^{}]", kSpaceMembers);
      } else {
        out += c;
        out += escaped;
      }
      continue;
    }
    if (in_class && c == '&' && i + 1 < pattern.size() && pattern[i + 1] == '&') {
      return Unsupported(fmt::format("the regular expression {} intersects character classes (&&)", Quote(pattern)));
    }
    if (c == '[' && in_class) {
      // "[:alpha:]" is one member, whose bracket does not end the class; a class within a class PCRE2 does not have.
      const size_t end = pattern.substr(i).starts_with("[:") ? pattern.find(":]", i + 2) : std::string_view::npos;
      if (end == std::string_view::npos) {
        return Unsupported(fmt::format("the regular expression {} has a character class within another", Quote(pattern)));
      }
      out += pattern.substr(i, end + 2 - i);
      i = end + 1;
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out += c;
      // A ']' right behind the opening is a member.
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += pattern[++i];
      continue;
    }
    if (c == ']' && in_class) in_class = false;
    out += c;
  }
  return out;
}

}  // namespace

void Regex::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void Regex::Matcher::Free::operator()(pcre2_real_match_data_8* data) const { pcre2_match_data_free(data); }
void Regex::Matcher::Free::operator()(pcre2_real_match_context_8* context) const { pcre2_match_context_free(context); }

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return TooLarge(fmt::format("a regular expression of {} bytes, at most {} are taken", pattern.size(), kMaxPatternBytes));
  }
  if (!IsValidUtf8(pattern)) return BadFormat(fmt::format("the regular expression {} is not valid UTF-8", Quote(pattern)));
  DAMASK_ASSIGN_OR_RETURN(const std::string translated, Translate(pattern));
  int error = 0;
  PCRE2_SIZE where = 0;
  Regex regex;
  regex.pattern_ = pattern;
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT;
  regex.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), options, &error, &where,
                                  /*ccontext=*/nullptr));
  if (!regex.code_) {
    PCRE2_UCHAR reason[128] = {};
    pcre2_get_error_message(error, reason, sizeof(reason));
    return Unsupported(fmt::format("the regular expression {} cannot be used: {} (near byte {})", Quote(pattern),
                                   reinterpret_cast<const char*>(reason), where));
  }
  // Without machine code (a hardened kernel, another CPU) PCRE2 interprets: slower, the same matches.
  pcre2_jit_compile(regex.code_.get(), PCRE2_JIT_COMPLETE);
  return regex;
}

std::chrono::nanoseconds Regex::TimeFor(size_t text_bytes) {
  return std::chrono::seconds(5) + std::chrono::microseconds(text_bytes);
}

Regex::Matcher::Matcher(const Regex& regex, std::chrono::nanoseconds time)
    : regex_(regex),
      deadline_(ThreadTime() + time),
      data_(pcre2_match_data_create(1, /*gcontext=*/nullptr)),
      context_(pcre2_match_context_create(/*gcontext=*/nullptr)) {
  if (!data_ || !context_) throw std::bad_alloc();
  pcre2_set_heap_limit(context_.get(), kHeapLimitKib);
}

Status Regex::Matcher::TooManySteps(std::string_view sign) const {
  return InvalidArgument(fmt::format("the pre-tokenizer's regular expression {} needs too many steps for this text ({})",
                                     Quote(regex_.pattern_), sign));
}

void Regex::Matcher::LimitSteps(size_t text_bytes) {
  if (limited_for_ >= text_bytes && limited_for_ != 0) return;
  const uint64_t steps = kMinSteps + kStepsPerByte * text_bytes;
  pcre2_set_match_limit(context_.get(), static_cast<uint32_t>(std::min<uint64_t>(steps, UINT32_MAX)));
  limited_for_ = std::max<size_t>(text_bytes, 1);
}

// PCRE2's code for the first match that starts in one of `starts` bytes.
int Regex::Matcher::Match(std::string_view text, size_t from, size_t starts) {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  pcre2_set_offset_limit(context_.get(), from + starts - 1);
  uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
  const int rc = pcre2_match(regex_.code_.get(), subject, text.size(), from, options, data_.get(), context_.get());
  if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
  // The interpreter keeps its backtracking points on the heap, within the limit above.
  options |= PCRE2_NO_JIT;
  return pcre2_match(regex_.code_.get(), subject, text.size(), from, options, data_.get(), context_.get());
}

Result<std::optional<ByteRange>> Regex::Matcher::Found(int rc, size_t from) const {
  if (rc < 0) return TooManySteps(fmt::format("PCRE2 error {}", rc));
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data_.get());
  // \K can put the start behind the end; such a pattern has no use here.
  if (range[0] < from || range[1] <= range[0]) {
    return Unsupported(fmt::format("the regular expression {} moves its own start (\\K)", Quote(regex_.pattern_)));
  }
  return std::optional<ByteRange>(ByteRange{range[0], range[1]});
}

Result<std::optional<ByteRange>> Regex::Matcher::Next(std::string_view text, size_t from) {
  LimitSteps(text.size());
  if (++matches_ % kMatchesPerLook == 0 && ThreadTime() > deadline_) return TooManySteps("its time is over");
  // What looking through all of the text for a character takes at most.
  const std::chrono::nanoseconds quick = std::chrono::milliseconds(1) + std::chrono::nanoseconds(2 * text.size());
  std::optional<std::chrono::nanoseconds> before;
  for (size_t stride = kFirstStride; true;) {
    const int rc = Match(text, from, stride);
    if (rc != PCRE2_ERROR_NOMATCH) return Found(rc, from);
    from += stride;
    while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xc0) == 0x80) ++from;
    if (from >= text.size()) return std::optional<ByteRange>();
    const std::chrono::nanoseconds now = ThreadTime();
    if (now > deadline_) return TooManySteps("its time is over");
    if (before) stride = now - *before < quick ? stride * kStrideGrowth : 1;
    before = now;
  }
}

}  // namespace damask::tokenizer
