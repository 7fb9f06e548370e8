#include "server/api_error.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace damask::server {
namespace {

using Json = nlohmann::json;

Json Parsed(const ApiError& error) { return Json::parse(ApiErrorJson(error)).at("error"); }

std::string Header(const HttpResponse& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "(none)";
}

TEST(ApiErrorTest, TheBodyHasOpenAisFourMembers) {
  EXPECT_EQ(ApiErrorJson(InvalidValue("top_p", "No.")),
            R"({"error":{"message":"No.","type":"invalid_request_error","param":"top_p","code":"invalid_value"}})");
  EXPECT_EQ(ApiErrorJson(BadRequest(400, "No.")),
            R"({"error":{"message":"No.","type":"invalid_request_error","param":null,"code":null}})");
}

TEST(ApiErrorTest, H03H05CodesSayWhatIsWrongWithAField) {
  EXPECT_EQ(Parsed(InvalidType("a", ""))["code"], "invalid_type");
  EXPECT_EQ(Parsed(MissingParameter("a", ""))["code"], "missing_required_parameter");
  EXPECT_EQ(Parsed(UnsupportedParameter("a", ""))["code"], "unsupported_parameter");
  EXPECT_EQ(Parsed(UnsupportedValue("a", ""))["code"], "unsupported_value");
}

TEST(ApiErrorTest, H07ContextLengthSaysHowMuchAndHowMany) {
  const HttpResponse response = ApiErrorResponse(ContextLengthExceeded(5000, 100, 4096, "messages"));
  EXPECT_EQ(response.status, 400);
  const Json error = Json::parse(response.body).at("error");
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["param"], "messages");
  EXPECT_EQ(error["n_prompt_tokens"], 5000);
  EXPECT_EQ(error["n_ctx"], 4096);
  for (const char* number : {"5000", "100", "4096"})
    EXPECT_NE(error["message"].get<std::string>().find(number), std::string::npos);
}

TEST(ApiErrorTest, H08AnUnknownModelIsNotFound) {
  const HttpResponse response = ApiErrorResponse(ModelNotFound("gpt-\xff\x1b"));
  EXPECT_EQ(response.status, 404);
  const Json error = Json::parse(response.body).at("error");
  EXPECT_EQ(error["code"], "model_not_found");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["param"], "model");
  EXPECT_NE(error["message"].get<std::string>().find(R"('gpt-\xff\x1b')"), std::string::npos);
}

TEST(ApiErrorTest, H09AWrongKeyNamesTheScheme) {
  const HttpResponse response = ApiErrorResponse(InvalidApiKey());
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(Header(response, "WWW-Authenticate"), "Bearer");
  EXPECT_EQ(Json::parse(response.body)["error"]["code"], "invalid_api_key");
  EXPECT_EQ(Header(ApiErrorResponse(BadRequest(400, "")), "WWW-Authenticate"), "(none)");
}

TEST(ApiErrorTest, H10UnknownPathsAndMethodsAreTold) {
  EXPECT_EQ(UnknownUrl("GET", "/x").status, 404);
  EXPECT_EQ(Parsed(UnknownUrl("GET", "/x"))["code"], "unknown_url");
  EXPECT_EQ(MethodNotSupported("PUT", "/v1/models").status, 405);
  EXPECT_EQ(Parsed(MethodNotSupported("PUT", "/v1/models"))["code"], "method_not_supported");
  const HttpResponse lacking = ApiErrorResponse(EndpointNotSupported("embeddings"));
  EXPECT_EQ(lacking.status, 501);
  EXPECT_EQ(Header(lacking, "x-should-retry"), "false");
  EXPECT_NE(lacking.body.find("does not support embeddings"), std::string::npos);
}

TEST(ApiErrorTest, H13AFullQueueSaysWhenToComeBack) {
  const HttpResponse response = ApiErrorResponse(ServerBusy());
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(Json::parse(response.body)["error"]["type"], "requests");
  EXPECT_EQ(Json::parse(response.body)["error"]["code"], "rate_limit_exceeded");
  EXPECT_GT(std::stoi(Header(response, "Retry-After")), 0);
  EXPECT_EQ(Header(response, "x-should-retry"), "(none)");
}

// Where no prompts are kept the same one takes as long the next time: a client that asks again by itself has it read in vain
// for hours.
TEST(ApiErrorTest, ARequestThatTookTooLongIsNotToBeAskedAgainUnlessItGoesOn) {
  const HttpResponse kept = ApiErrorResponse(RequestTimedOut("the request was not read within 2 s", true));
  EXPECT_EQ(kept.status, 429);
  EXPECT_NE(kept.body.find("asked again, it goes on"), std::string::npos);
  EXPECT_EQ(Header(kept, "x-should-retry"), "(none)");
  const HttpResponse response = ApiErrorResponse(RequestTimedOut("the request was not read within 2 s", false));
  EXPECT_EQ(response.status, 429);
  const Json error = Json::parse(response.body).at("error");
  EXPECT_EQ(error["type"], "requests");
  EXPECT_EQ(error["code"], "request_timeout");
  EXPECT_NE(error["message"].get<std::string>().find("within 2 s"), std::string::npos);
  EXPECT_NE(error["message"].get<std::string>().find("--timeout"), std::string::npos);
  EXPECT_EQ(Header(response, "Retry-After"), "(none)");
  EXPECT_EQ(Header(response, "x-should-retry"), "false");
}

TEST(ApiErrorTest, H14LoadingAndStoppingAreUnavailable) {
  for (const ApiError& error : {ServerLoading(), ServerStopping()}) {
    const HttpResponse response = ApiErrorResponse(error);
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(Json::parse(response.body)["error"]["type"], "server_error");
    EXPECT_EQ(Json::parse(response.body)["error"]["code"], nullptr);
    EXPECT_GT(std::stoi(Header(response, "Retry-After")), 0);
  }
}

TEST(ApiErrorTest, H15FaultsOfOursAre500AndFaultsOfTheRequest400) {
  EXPECT_EQ(FromStatus(InvalidArgument("x")).status, 400);
  EXPECT_EQ(FromStatus(BadFormat("x")).status, 400);
  EXPECT_EQ(FromStatus(TooLarge("x")).status, 400);
  EXPECT_EQ(FromStatus(Unsupported("x")).status, 400);
  for (const Status& status : {OutOfMemory("x"), Internal("x"), IoError("x")}) {
    EXPECT_EQ(FromStatus(status).status, 500);
    EXPECT_EQ(FromStatus(status).type, "server_error");
  }
}

TEST(ApiErrorTest, L08BytesThatAreNoTextDoNotBreakTheError) {
  EXPECT_EQ(Parsed(BadRequest(400, "a\xff"))["message"], "a\xef\xbf\xbd");
  EXPECT_EQ(Parsed(InvalidValue("\xc3", "m"))["param"], "\xef\xbf\xbd");
}

}  // namespace
}  // namespace damask::server
