// How much of a chat's prompt is its last turn, and what policies make of it.
#include <gtest/gtest.h>

#include "engine/conversation.h"
#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

using tokenizer::ChatFamily;

class TurnTokensOf : public testing::TestWithParam<ChatFamily> {
 protected:
  TinyModelFile file_{make_model::ModelSpec{}};
};

TEST_P(TurnTokensOf, AreTheEndOfThePromptFromTheTurnOn) {
  const auto engine = LoadTiny(file_);
  const tokenizer::Tokenizer& tokenizer = engine->tokenizer();
  const std::string turn = "what is in line four?";
  const std::vector<tokenizer::ChatMessage> messages = {{"user", "hello"}, {"assistant", "hi there"}, {"user", turn}};
  const auto prompt = tokenizer::EncodeChat(tokenizer, GetParam(), messages);
  const auto tokens = TurnTokens(tokenizer, ChatForm{GetParam()}, turn);
  ASSERT_TRUE(prompt.ok() && tokens.ok()) << tokens.status().ToString();
  ASSERT_GT(*tokens, 0U);
  ASSERT_LT(*tokens, prompt->size());
  std::string text;
  for (size_t i = prompt->size() - *tokens; i < prompt->size(); ++i) text += tokenizer.Piece((*prompt)[i], true);
  // The first token may have joined with the space or the mark in front.
  EXPECT_NE(text.find("hat is in line four?"), std::string::npos) << text;
  EXPECT_EQ(text.find("hi there"), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(, TurnTokensOf,
                         testing::Values(ChatFamily::kLlama2, ChatFamily::kLlama3, ChatFamily::kChatMl, ChatFamily::kQwen,
                                         ChatFamily::kMistralV7, ChatFamily::kDeepSeekV3, ChatFamily::kPhi3, ChatFamily::kPhi4,
                                         ChatFamily::kGemma));

TEST(TurnTokens, OfALongTurnAreItsQuestion) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const auto tokens = [&](const std::string& turn, std::optional<ChatFamily> family = ChatFamily::kChatMl) {
    const auto counted = TurnTokens(engine->tokenizer(), ChatForm{family}, turn);
    EXPECT_TRUE(counted.ok()) << counted.status().ToString();
    return counted.ok() ? *counted : 0;
  };
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "a line of the text\n";
  const std::string question = "what is it?\nwhy?";
  EXPECT_EQ(tokens(text + "\n" + question), tokens(question));
  EXPECT_EQ(tokens(text + "why?\n"), tokens("why?"));
  EXPECT_EQ(tokens(text + "\n" + question, std::nullopt), tokens(question, std::nullopt));
  EXPECT_EQ(tokens(std::string(100000, 'x')), policies::kMaxInstructionTokens);
  std::string letters;
  for (int i = 0; i < 9000; ++i) letters += "\xc3\xa4";
  EXPECT_EQ(tokens(letters), policies::kMaxInstructionTokens);
}

TEST(PlainChat, IsTurnsOfTwoSpeakersBehindWhatTheSystemSays) {
  const std::vector<tokenizer::ChatMessage> messages = {{"system", "be kind"}, {"system", ""},   {"user", "a\nb"},
                                                        {"assistant", " yes"}, {"user", "c"},    {"user", "d"},
                                                        {"assistant", "no"},   {"assistant", ""}};
  EXPECT_EQ(PlainChatText(PlainForm::kSpeakers, messages),
            "be kind\n\nUser: a\nb\nAssistant: yes\nUser: c\nUser: d\nAssistant: no\nAssistant:\nAssistant:");
  // Where the model goes on with the user's next line, its answer has ended.
  EXPECT_EQ(PlainChatStops(PlainForm::kSpeakers), std::vector<std::string>{"\nUser:"});
  // The embedded model was trained on a text and lines behind it. An empty answer is a line, so that the next question is none.
  EXPECT_EQ(PlainChatText(PlainForm::kLines, messages), "be kind\na\nb\n yes\nc\nd\nno\n\n");
  EXPECT_EQ(PlainChatText(PlainForm::kLines, std::vector<tokenizer::ChatMessage>{{"user", "a\n"}}), "a\n");
  EXPECT_EQ(PlainChatStops(PlainForm::kLines), std::vector<std::string>{"\n"});
}

TEST(PlainChat, LeavesOutTheEndOfAnAnswerThatIsContinued) {
  const std::vector<tokenizer::ChatMessage> begun = {{"user", "a"}, {"assistant", "no"}};
  EXPECT_EQ(PlainChatText(PlainForm::kSpeakers, begun, tokenizer::LastTurn::kContinued), "User: a\nAssistant: no");
  EXPECT_EQ(PlainChatText(PlainForm::kLines, begun, tokenizer::LastTurn::kContinued), "a\nno");
}

TEST(PlainChat, HasLinesForTheEmbeddedModelAndSpeakersForOthers) {
  const TinyModelFile file(make_model::ModelSpec{});
  EXPECT_EQ(ModelChatForm(*LoadTiny(file)).plain, PlainForm::kSpeakers);
  const auto embedded = Engine::Load({.threads = 2});
  ASSERT_TRUE(embedded.ok()) << embedded.status().ToString();
  const ChatForm form = ModelChatForm(**embedded);
  EXPECT_EQ(form.family, std::nullopt);
  EXPECT_EQ(form.plain, PlainForm::kLines);
  const tokenizer::Tokenizer& tokenizer = (*embedded)->tokenizer();
  const auto line = tokenizer.Encode("what is it?\n", tokenizer::Special::kPlain);
  EXPECT_EQ(*TurnTokens(tokenizer, form, "what is it?"), line->size());
  EXPECT_GT(*TurnTokens(tokenizer, ChatForm{}, "what is it?"), line->size());
}

std::vector<float> LogitsOf(Engine* engine, const std::string& spec, size_t turn_tokens) {
  EXPECT_TRUE(engine->SetPolicy(spec).ok()) << spec;
  Session session(engine);
  session.SetTurnTokens(turn_tokens);
  EXPECT_TRUE(session.Append(SomeIds(600), nullptr, nullptr).ok());
  return {session.logits().begin(), session.logits().end()};
}

TEST(SetTurnTokens, TakesThePlaceOfTheUsualLastTokensButNotOfGivenOnes) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const std::string citrus = "citrus:keep=60,chunk=64";
  const std::vector<float> usual = LogitsOf(engine.get(), citrus, 0);
  EXPECT_EQ(usual, LogitsOf(engine.get(), citrus + ",last=32", 0));
  EXPECT_EQ(LogitsOf(engine.get(), citrus, 50), LogitsOf(engine.get(), citrus + ",last=50", 0));
  EXPECT_NE(LogitsOf(engine.get(), citrus, 50), usual);
  EXPECT_EQ(LogitsOf(engine.get(), citrus, 5000), LogitsOf(engine.get(), citrus + ",last=256", 0));
  EXPECT_EQ(LogitsOf(engine.get(), citrus + ",last=32", 50), usual);
  const std::string given = citrus + ",instruction=what is it?";
  EXPECT_EQ(LogitsOf(engine.get(), given, 50), LogitsOf(engine.get(), given, 0));
}

// The instruction's 32 rows, one kept key and itself are what a drawn token sees, wherever the prompt ends: rows of the
// instruction that a chunk's border cut off would have been judged by those behind it.
TEST(Citrus, TheInstructionIsOneChunkWhereverItStands) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.policy = "citrus:keep=1,chunk=64,last=32"});
  for (const size_t length : {160, 144, 129, 191, 520}) {
    Session session(engine.get());
    ASSERT_TRUE(session.Append(SomeIds(length), nullptr, nullptr).ok());
    session.TakeReport();
    std::vector<Session*> one = {&session};
    const std::vector<TokenId> drawn = {5};
    ASSERT_TRUE(engine->Decode(one, drawn, nullptr).ok());
    const model::SegmentReport report = session.TakeReport();
    const uint64_t rows = report.causal_pairs / (length + 1);
    // Keys stay by quarters of a page: those of the instruction's first one besides.
    const uint64_t keys = length - (length - 32) / 16 * 16 + 1 + 1;
    EXPECT_EQ(report.planned_pairs, rows * keys) << length;
  }
}

}  // namespace
}  // namespace damask::engine
