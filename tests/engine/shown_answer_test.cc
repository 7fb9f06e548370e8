#include "engine/shown_answer.h"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace damask::engine {
namespace {

using tokenizer::ChatFamily;
using tokenizer::Thoughts;

std::string Show(std::optional<ChatFamily> family, Thoughts thoughts, std::string_view said, size_t step) {
  ShownAnswer answer(family, thoughts);
  std::string shown;
  for (size_t at = 0; at < said.size(); at += step) shown += answer.Add(said.substr(at, step));
  return shown + answer.Finish();
}

TEST(ShownAnswer, WritesChannelsAsOtherModelsThoughts) {
  constexpr std::string_view kSaid =
      "<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant<|channel|>final<|message|>Four.";
  for (size_t step = 1; step <= kSaid.size(); ++step) {
    EXPECT_EQ(Show(ChatFamily::kGptOss, Thoughts::kAsTheModel, kSaid, step), "<think>\nAdd them.\n</think>\n\nFour.") << step;
  }
  EXPECT_EQ(Show(ChatFamily::kGptOss, Thoughts::kAsTheModel, "<|channel|>final<|message|>Four.", 3), "Four.");
  EXPECT_EQ(Show(ChatFamily::kGptOss, Thoughts::kAsTheModel, "<|channel|>analysis<|message|>Cut o", 3), "<think>\nCut o");
  EXPECT_EQ(Show(ChatFamily::kGptOss, Thoughts::kNone, "Four.", 3), "Four.");
}

TEST(ShownAnswer, LeavesOtherFamiliesAlone) {
  for (const std::string_view said : {"<think>\na\n</think>\n\nb", "<|channel|>analysis<|message|>a", " b "}) {
    EXPECT_EQ(Show(ChatFamily::kChatMl, Thoughts::kAsTheModel, said, 2), said);
    EXPECT_EQ(Show(std::nullopt, Thoughts::kAsTheModel, said, 2), said);
  }
}

}  // namespace
}  // namespace damask::engine
