#include "server/http_format.h"

#include <regex>

#include <gtest/gtest.h>

namespace damask::server {
namespace {

bool Has(const std::string& head, const std::string& line) { return head.find("\r\n" + line + "\r\n") != std::string::npos; }

TEST(HttpFormat, AHeadSaysHowLongTheBodyIs) {
  HttpResponse response;
  response.body = "12345";
  response.headers = {{"X-Name", "value"}};
  const std::string head = FormatHead(response, {});
  EXPECT_EQ(head.find("HTTP/1.1 200 OK\r\n"), 0u);
  EXPECT_EQ(head.substr(head.size() - 4), "\r\n\r\n");
  EXPECT_TRUE(Has(head, "Content-Length: 5"));
  EXPECT_TRUE(Has(head, "Content-Type: application/json"));
  EXPECT_TRUE(Has(head, "X-Name: value"));
  EXPECT_EQ(head.find("Connection"), std::string::npos);
  EXPECT_TRUE(
      std::regex_search(head, std::regex("\r\nDate: [A-Z][a-z]{2}, \\d\\d [A-Z][a-z]{2} \\d{4} \\d\\d:\\d\\d:\\d\\d GMT\r\n")));
}

TEST(HttpFormat, TheConnectionsFateIsSaidWhereItIsNotTheVersionsOwn) {
  HeadOptions options;
  options.http_1_0 = true;
  EXPECT_TRUE(Has(FormatHead({}, options), "Connection: keep-alive"));
  options.keep_alive = false;
  EXPECT_TRUE(Has(FormatHead({}, options), "Connection: close"));
  options.http_1_0 = false;
  EXPECT_TRUE(Has(FormatHead({}, options), "Connection: close"));
}

TEST(HttpFormat, ChunkedAndUntilCloseAnnounceNoLength) {
  HeadOptions options;
  options.framing = Framing::kChunked;
  EXPECT_TRUE(Has(FormatHead({}, options), "Transfer-Encoding: chunked"));
  EXPECT_EQ(FormatHead({}, options).find("Content-Length"), std::string::npos);
  options.framing = Framing::kUntilClose;
  EXPECT_EQ(FormatHead({}, options).find("Transfer-Encoding"), std::string::npos);
  EXPECT_EQ(FormatHead({}, options).find("Content-Length"), std::string::npos);
}

TEST(HttpFormat, A204AnnouncesNoBody) {
  HttpResponse response;
  response.status = 204;
  EXPECT_EQ(FormatHead(response, {}).find("Content-"), std::string::npos);
  EXPECT_FALSE(StatusHasBody(204));
  EXPECT_TRUE(StatusHasBody(200));
}

TEST(HttpFormat, NoHeaderCanBecomeTwoOrAnAnswerOfItsOwn) {
  HttpResponse response;
  response.content_type = "text/plain\r\nX-Evil: 1";
  response.headers = {{"X-Name", "a\r\nX-Evil: 1\r\n\r\nbody"}, {"X Evil", "1"}, {"X-Evil\r\nY", "1"}, {"", "1"}};
  const std::string head = FormatHead(response, {});
  EXPECT_EQ(head.find("\r\nX-Evil"), std::string::npos);
  EXPECT_EQ(head.find("X Evil"), std::string::npos);
  EXPECT_EQ(head.find("\r\n\r\n"), head.size() - 4);
  EXPECT_TRUE(Has(head, "X-Name: a  X-Evil: 1    body"));
}

TEST(HttpFormat, FramingCannotBeSetFromOutside) {
  HttpResponse response;
  response.headers = {{"Content-Length", "9"}, {"transfer-encoding", "chunked"}, {"Connection", "upgrade"}};
  const std::string head = FormatHead(response, {});
  EXPECT_TRUE(Has(head, "Content-Length: 0"));
  EXPECT_EQ(head.find("chunked"), std::string::npos);
  EXPECT_EQ(head.find("upgrade"), std::string::npos);
  EXPECT_EQ(head.find(": 9"), std::string::npos);
}

TEST(HttpFormat, AStatusThatIsNoneBecomes500) {
  for (const int status : {0, -1, 99, 100, 600, 1 << 30}) {
    HttpResponse response;
    response.status = status;
    EXPECT_EQ(FormatHead(response, {}).find("HTTP/1.1 500 "), 0u) << status;
  }
}

TEST(HttpFormat, ChunksHaveTheirLengthInHexAndNoneIsEmpty) {
  std::string out;
  AppendChunk("", &out);
  EXPECT_EQ(out, "");
  AppendChunk(std::string(26, 'a'), &out);
  AppendChunk("b", &out);
  EXPECT_EQ(out, "1a\r\n" + std::string(26, 'a') + "\r\n1\r\nb\r\n");
}

}  // namespace
}  // namespace damask::server
