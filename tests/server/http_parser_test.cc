#include "server/http_parser.h"

#include <filesystem>
#include <random>

#include <gtest/gtest.h>

#include "server/http_server.h"
#include "tests/server/http_parser_check.h"
#include "tests/temp_dir.h"

namespace damask::server {
namespace {

using State = HttpParser::State;

HttpLimits SmallLimits() {
  HttpLimits limits;
  limits.max_header_bytes = 500;
  limits.max_body_bytes = 100;
  return limits;
}

// In pieces of `piece` bytes, as a socket might give them; what is left over stays in the parser's input.
std::string FeedInPieces(const std::string& bytes, size_t piece, HttpParser* parser) {
  std::string input;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    input += bytes.substr(at, piece);
    input.shrink_to_fit();  // so that the address sanitizer sees what reads beyond
    parser->Feed(&input);
  }
  return input;
}

int ErrorOf(const std::string& bytes, size_t piece) {
  const HttpLimits limits = SmallLimits();
  HttpParser parser(limits);
  FeedInPieces(bytes, piece, &parser);
  if (parser.state() != State::kFailed) return 0;
  EXPECT_FALSE(parser.error_message().empty());
  return parser.error_status();
}

std::string Post(const std::string& headers_and_body) { return "POST / HTTP/1.1\r\nHost: a\r\n" + headers_and_body; }

// The seeds of the fuzz target and every input it once broke on (BAD_INPUT R6), in pieces of several sizes.
TEST(HttpParser, TheFuzzCorpusIsReadOrRefused) {
  size_t requests = 0;
  size_t refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DAMASK_SOURCE_DIR "/tests/corpus/http_request")) {
    const std::string input = test::ReadBytes(entry.path());
    ASSERT_FALSE(input.empty()) << entry.path();
    const std::string bytes = input.substr(1);
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{64}, size_t{1} + static_cast<uint8_t>(input[0]) % 64}) {
      EXPECT_EQ(FaultOfParsing(bytes, piece), "") << entry.path() << " in pieces of " << piece;
    }
    const ParsedConnection parsed = ParseConnection(bytes, 3, nullptr);
    requests += parsed.requests.size();
    refused += parsed.error != 0 ? 1 : 0;
  }
  EXPECT_GE(requests, 5u);
  EXPECT_GE(refused, 3u);
}

TEST(HttpParser, ARequestIsTheSameInWhateverPiecesItComes) {
  const std::string bytes =
      "\r\nPOST /a%20b?c=d&e HTTP/1.1\r\nHost: x:1\r\nX-Name: \t two words \r\nTransfer-Encoding: Chunked\r\n\r\n"
      "3\r\nabc\r\n0A;name=\"v\"\r\n0123456789\r\n0\r\nX-Trailer: no\r\n\r\nGET ";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    HttpParser parser(SmallLimits());
    ASSERT_EQ(FeedInPieces(bytes, piece, &parser), "GET ") << piece;
    ASSERT_EQ(parser.state(), State::kDone) << parser.error_message();
    EXPECT_TRUE(parser.keep_alive());
    const HttpRequest request = parser.TakeRequest();
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/a%20b");
    EXPECT_EQ(request.query, "c=d&e");
    EXPECT_EQ(request.body, "abc0123456789");
    EXPECT_EQ(request.header("x-name"), "two words");
    EXPECT_FALSE(request.has_header("x-trailer"));
    EXPECT_EQ(request.headers.size(), 3u);
  }
}

TEST(HttpParser, AnEmptyChunkedBodyMayComeByteByByte) {
  HttpParser parser(SmallLimits());
  EXPECT_EQ(FeedInPieces(Post("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 1, &parser), "");
  EXPECT_EQ(parser.state(), State::kDone);
}

TEST(HttpParser, H11WhereTheBodyEndsMustNotBeInDoubt) {
  const std::string body = "\r\n5\r\nhello\r\n0\r\n\r\n";
  const std::string faults[] = {
      "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
      "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
      "Content-Length: 5, 5\r\n\r\nhello",
      "Content-Length: 5, 6\r\n\r\nhello",
      "Content-Length: -1\r\n\r\nhello",
      "Content-Length: +5\r\n\r\nhello",
      "Content-Length: 5 5\r\n\r\nhello",
      "Content-Length: 0x5\r\n\r\nhello",
      "Content-Length: 5.0\r\n\r\nhello",
      "Content-Length:\r\n\r\nhello",
      "Content-Length: 18446744073709551616\r\n\r\nhello",
      "Content-Length : 5\r\n\r\nhello",
      "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n" + body,
      "Transfer-Encoding: chunked\r\nContent-Length: 15\r\n" + body,
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + body,
      "Transfer-Encoding: gzip\r\n" + body,
      "Transfer-Encoding: gzip, chunked\r\n" + body,
      "Transfer-Encoding: chunked, gzip\r\n" + body,
      "Transfer-Encoding: chunked, identity\r\n" + body,
      "Transfer-Encoding: xchunked\r\n" + body,
      "Transfer-Encoding:\r\n" + body,
      "Transfer-Encoding : chunked\r\n" + body,
  };
  for (const std::string& fault : faults) {
    EXPECT_EQ(ErrorOf(Post(fault), 1000), 400) << fault;
    EXPECT_EQ(ErrorOf(Post(fault), 1), 400) << fault;
  }
}

TEST(HttpParser, H11GarbageInsteadOfChunksIsRefused) {
  const std::string faults[] = {
      "garbage\r\n\r\n",
      "-5\r\nhello\r\n0\r\n\r\n",
      "0x5\r\nhello\r\n0\r\n\r\n",
      "5hello\r\n0\r\n\r\n",
      "5\nhello\n0\n\n\r\n",  // where no line ends yet, more is waited for
      "5\r\nhelloworld\r\n0\r\n\r\n",
      "5\r\nhello0\r\n\r\n",
      "\r\n5\r\nhello\r\n0\r\n\r\n",
      "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
      "5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n",
      "5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
      "5;" + std::string(600, 'x'),
      "0\r\nX-Trailer: " + std::string(600, 'x'),
  };
  for (const std::string& fault : faults) {
    EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n\r\n" + fault), 1000), 400) << fault;
    EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n\r\n" + fault), 1), 400) << fault;
  }
}

TEST(HttpParser, H11WhatIsNotARequestIsRefused) {
  const std::string faults[] = {
      "hello\r\n\r\n",
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + "\r\n\r\n",  // TLS
      "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
      "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
      "GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1, '\0') + "\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  };
  for (const std::string& fault : faults) {
    EXPECT_EQ(ErrorOf(fault, 1000), 400) << fault;
    EXPECT_EQ(ErrorOf(fault, 1), 400) << fault;
  }
}

TEST(HttpParser, H11LengthsBeyondTheLimitsHaveTheirStatus) {
  for (const size_t piece : {1, 7, 1000}) {
    EXPECT_EQ(ErrorOf("GET /" + std::string(600, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", piece), 431);
    EXPECT_EQ(ErrorOf("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(600, 'a') + "\r\n\r\n", piece), 431);
    EXPECT_EQ(ErrorOf("GET /" + std::string(300, 'a') + " HTTP/1.1\r\nHost: " + std::string(300, 'a') + "\r\n\r\n", piece),
              431);
    EXPECT_EQ(ErrorOf("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(600, 'a'), piece), 431);
    EXPECT_EQ(ErrorOf(Post("Content-Length: 101\r\n\r\n"), piece), 413);
    EXPECT_EQ(ErrorOf(Post("Content-Length: 18446744073709551615\r\n\r\n"), piece), 413);
    EXPECT_EQ(ErrorOf(Post("Content-Length: 100\r\n\r\n" + std::string(100, 'a')), piece), 0);
    const std::string half = "32\r\n" + std::string(50, 'a') + "\r\n";
    EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n\r\n" + half + half + "0\r\n\r\n"), piece), 0);
    EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n\r\n" + half + half + "1\r\na\r\n0\r\n\r\n"), piece), 413);
    EXPECT_EQ(ErrorOf(Post("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"), piece), 413);
  }
}

TEST(HttpParser, TheHostOfATargetCountsMoreThanTheHeader) {
  HttpParser parser(SmallLimits());
  FeedInPieces("GET http://real:80/x?y=/z HTTP/1.1\r\nHost: other\r\n\r\n", 1000, &parser);
  ASSERT_EQ(parser.state(), State::kDone);
  HttpRequest request = parser.TakeRequest();
  EXPECT_EQ(request.path, "/x");
  EXPECT_EQ(request.query, "y=/z");
  EXPECT_EQ(request.header("host"), "real:80");
  parser.Reset();
  FeedInPieces("GET /to?url=http://a/b HTTP/1.1\r\nHost: other\r\n\r\n", 1000, &parser);
  ASSERT_EQ(parser.state(), State::kDone);
  request = parser.TakeRequest();
  EXPECT_EQ(request.path, "/to");
  EXPECT_EQ(request.query, "url=http://a/b");
  EXPECT_EQ(request.header("host"), "other");
}

TEST(HttpParser, WhatTheClientWishesForItsConnectionIsKnown) {
  const std::pair<std::string, bool> wishes[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n", false},
      {"GET / HTTP/1.0\r\n\r\n", false},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
  };
  for (const auto& [bytes, keep_alive] : wishes) {
    HttpParser parser(SmallLimits());
    FeedInPieces(bytes, 3, &parser);
    ASSERT_EQ(parser.state(), State::kDone);
    EXPECT_EQ(parser.keep_alive(), keep_alive) << bytes;
    EXPECT_EQ(parser.http_1_0(), bytes.find("HTTP/1.0") != std::string::npos);
  }
}

TEST(HttpParser, OnlyARequestWithABodyToComeExpects100) {
  const auto expects = [](const std::string& bytes) {
    HttpParser parser(SmallLimits());
    FeedInPieces(bytes, 1000, &parser);
    return (parser.state() == State::kBody || parser.state() == State::kDone) && parser.expects_continue();
  };
  EXPECT_TRUE(expects(Post("Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n")));
  EXPECT_TRUE(expects(Post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")));
  EXPECT_FALSE(expects(Post("Content-Length: 5\r\n\r\n")));
  EXPECT_FALSE(expects(Post("Expect: 100-continue\r\n\r\n")));
  EXPECT_FALSE(expects("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
}

// Whatever is done to a request, the parser says done, failed or more, and stays within its limits.
TEST(HttpParser, RandomlyBrokenRequestsAreTakenOrRefused) {
  const std::string whole = Post("X: y\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nT: u\r\n\r\n");
  std::mt19937 random(7);
  size_t num_failed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = whole;
    for (int change = random() % 3; change >= 0; --change) {
      const size_t at = random() % bytes.size();
      if (random() % 3 == 0) {
        bytes.erase(at, random() % 5);
      } else if (random() % 2 == 0) {
        bytes[at] = static_cast<char>(random());
      } else {
        bytes.insert(at, whole, random() % whole.size(), random() % 20);
      }
      if (bytes.empty()) bytes = whole;
    }
    HttpParser parser(SmallLimits());
    FeedInPieces(bytes, 1 + random() % 40, &parser);
    if (parser.state() == State::kFailed) {
      ++num_failed;
      ASSERT_TRUE(parser.error_status() == 400 || parser.error_status() == 413 || parser.error_status() == 431);
    } else if (parser.state() == State::kDone) {
      ASSERT_LE(parser.TakeRequest().body.size(), 100u);
    }
  }
  EXPECT_GT(num_failed, 1000u);
}

}  // namespace
}  // namespace damask::server
