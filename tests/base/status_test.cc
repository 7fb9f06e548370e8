#include "base/status.h"

#include <memory>

#include <gtest/gtest.h>

namespace damask {
namespace {

TEST(Status, ADefaultOneIsOk) {
  const Status status;
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.ToString(), "ok");
}

TEST(Status, AtPutsTheOuterPlaceInFront) {
  const Status status = BadFormat("has value 0, expected 32").At("key general.alignment").At("model.gguf");
  EXPECT_EQ(status.code(), StatusCode::kBadFormat);
  EXPECT_EQ(status.message(), "has value 0, expected 32");
  EXPECT_EQ(status.where(), "model.gguf: key general.alignment");
  EXPECT_EQ(status.ToString(), "model.gguf: key general.alignment: has value 0, expected 32");
}

TEST(Status, AtLeavesAnOkOneOk) { EXPECT_EQ(Status().At("model.gguf").ToString(), "ok"); }

TEST(Status, EveryCodeHasItsOwnName) {
  std::vector<std::string> names;
  for (int code = 0; code <= static_cast<int>(StatusCode::kInternal); ++code) {
    const std::string name = StatusCodeName(static_cast<StatusCode>(code));
    EXPECT_NE(name, "unknown");
    for (const std::string& other : names) EXPECT_NE(name, other);
    names.push_back(name);
  }
}

TEST(Result, HoldsAValueThatOnlyMoves) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  ASSERT_TRUE(result.ok());
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 7);
}

TEST(Result, MadeFromAnOkStatusIsABugOfOurs) {
  const Result<int> result{Status()};
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), StatusCode::kInternal);
}

Result<int> Half(int value) {
  if (value % 2 != 0) return InvalidArgument("odd");
  return value / 2;
}

Result<int> Quarter(int value) {
  DAMASK_ASSIGN_OR_RETURN(const int half, Half(value));
  DAMASK_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

Status CheckEven(int value) {
  DAMASK_RETURN_IF_ERROR(Half(value).status());
  return {};
}

TEST(Result, AssignOrReturnPassesValuesAndErrorsOn) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Quarter(6).status().ToString(), "odd");
}

TEST(Result, ReturnIfErrorLeavesOnlyOnError) {
  EXPECT_TRUE(CheckEven(2).ok());
  EXPECT_EQ(CheckEven(3).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace damask
