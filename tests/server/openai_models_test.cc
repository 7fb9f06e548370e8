#include "server/openai_models.h"

#include <string>

#include <gtest/gtest.h>

namespace damask::server {
namespace {

TEST(OpenAiModelsTest, TheModelIsListedWithItsFigures) {
  const ModelCard card{.id = "tiny\xff",
                       .created = 1700000000,
                       .vocab = 512,
                       .n_ctx_train = 4096,
                       .parameters = 1000,
                       .bytes = 2000,
                       .n_ctx = 2048};
  const std::string model =
      "{\"id\":\"tiny\xef\xbf\xbd\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"damask\","
      R"("meta":{"n_vocab":512,"n_ctx_train":4096,"n_params":1000,"size":2000,"n_ctx":2048}})";
  EXPECT_EQ(ModelJson(card), model);
  EXPECT_EQ(ModelListJson(card), R"({"object":"list","data":[)" + model + "]}");
}

}  // namespace
}  // namespace damask::server
