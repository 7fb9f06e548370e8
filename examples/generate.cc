// The public C++ API in one page: loads a model, reads a prompt, prints the continuation as it is made.
//
//   generate [MODEL [PROMPT]]      without MODEL: the embedded reference model; without PROMPT: a small task for it
//
// Exit code 0 done, 1 failed.
#include <cstdio>
#include <string>
#include <string_view>

#include "damask/damask.h"

namespace {

// What the reference model was trained for: one stored number among many lines.
std::string LinesTask() {
  return "line torpid-kid: REGISTER_CONTENT is <24169>\n"
         "line moaning-conversation: REGISTER_CONTENT is <50937>\n"
         "line tacit-colonial: REGISTER_CONTENT is <31206>\n"
         "What is the REGISTER_CONTENT in line moaning-conversation?\n"
         "line moaning-conversation: REGISTER_CONTENT is <";
}

int Fail(const damask::Status& status) {
  std::fprintf(stderr, "generate: %s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  damask::ModelOptions model_options;
  if (argc > 1) model_options.path = argv[1];
  const std::string prompt = argc > 2 ? argv[2] : LinesTask();

  auto model = damask::Model::Load(model_options);
  if (!model.ok()) return Fail(model.status());
  const damask::ModelInfo info = model->info();
  std::fprintf(stderr, "%s, %zu layers, %s kernels\n", info.architecture.c_str(), info.layers, info.target.c_str());

  damask::GenerateOptions options;
  options.max_tokens = 32;
  options.temperature = 0;  // the most likely token each time
  options.stop = {"\n"};
  options.on_text = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  damask::Session session = model->NewSession();
  const auto answer = session.Generate(prompt, options);
  if (!answer.ok()) return Fail(answer.status());
  std::fprintf(stderr, "\n%s after %zu tokens\n", answer->finish_reason.c_str(), answer->ids.size());
  return 0;
}
