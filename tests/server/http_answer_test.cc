// The meeting point of an answer, without sockets.
#include "server/http_answer.h"

#include <new>

#include <gtest/gtest.h>

namespace damask::server {
namespace {

// The first wake-up finds no memory.
class FailingOnce : public Outlet {
 public:
  void WakeUp() override {
    if (++calls == 1) throw std::bad_alloc();
  }
  int calls = 0;
};

HttpResponse Body(const std::string& text) {
  HttpResponse response;
  response.body = text;
  return response;
}

TEST(Answer, AWakeUpThatFailedIsTriedAgainByWhatComesNext) {
  const auto outlet = std::make_shared<FailingOnce>();
  Answer answer(outlet, 1000);
  EXPECT_THROW(answer.Begin(Body(""), {}), std::bad_alloc);
  answer.Write("x");
  EXPECT_EQ(outlet->calls, 2);
  const Answer::News news = answer.Take();
  EXPECT_TRUE(news.head);
  EXPECT_EQ(news.bytes, "x");
}

TEST(Answer, AnAnswerThatCouldNotBeAnnouncedIsAnnouncedWhereTheExchangeEnds) {
  const auto outlet = std::make_shared<FailingOnce>();
  const auto answer = std::make_shared<Answer>(outlet, 1000);
  {
    const std::shared_ptr<Exchange> exchange = MakeExchange(answer, {});
    EXPECT_THROW(exchange->Respond(Body("whole")), std::bad_alloc);
  }
  EXPECT_EQ(outlet->calls, 2);
  const Answer::News news = answer->Take();
  ASSERT_TRUE(news.whole);
  EXPECT_EQ(news.whole->body, "whole");
  EXPECT_FALSE(news.dropped);
}

TEST(Answer, AnExchangeMayEndWithoutMemory) {
  const auto outlet = std::make_shared<FailingOnce>();
  const auto answer = std::make_shared<Answer>(outlet, 1000);
  MakeExchange(answer, {});  // must not throw out of its end
  EXPECT_EQ(outlet->calls, 1);
  EXPECT_TRUE(answer->Take().dropped);
}

TEST(Answer, NewsAreAnnouncedOnceUntilTheyAreTaken) {
  const auto outlet = std::make_shared<FailingOnce>();
  outlet->calls = 1;
  Answer answer(outlet, 1000);
  answer.Begin(Body(""), {});
  answer.Write("x");
  answer.Write("y");
  EXPECT_EQ(outlet->calls, 2);
  EXPECT_EQ(answer.Take().bytes, "xy");
  answer.End();
  EXPECT_EQ(outlet->calls, 3);
}

}  // namespace
}  // namespace damask::server
