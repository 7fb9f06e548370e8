// What docs/library.md shows, as one program over the embedded reference model: its every snippet of C++ stands here
// (tests/library_page_test.cc compares them).
//
// Exit code 0 done, 1 failed.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "damask/damask.h"

namespace {

const std::string kDocument =
    "line torpid-kid: REGISTER_CONTENT is <24169>\n"
    "line moaning-conversation: REGISTER_CONTENT is <50937>\n"
    "line tacit-colonial: REGISTER_CONTENT is <31206>\n";

int Fail(const damask::Status& status) {
  std::cerr << "tour: " << status.ToString() << "\n";
  return 1;
}

damask::Result<damask::Model> Load(const std::string& path) {
  damask::ModelOptions options;
  options.path = path;                                // "": the embedded reference model
  options.context = 32768;                            // positions a session may hold
  options.policy = "streaming:sinks=16,window=4096";  // or "dam:mask=FILE" and all others of `damask policies`
  options.kv = "q8";                                  // half the memory
  return damask::Model::Load(options);
}

void Stream(damask::Model& model) {
  damask::Session session = model.NewSession();
  damask::GenerateOptions options;
  options.max_tokens = 64;
  options.temperature = 0;  // the likeliest token each time
  options.stop = {"\n"};
  options.on_text = [](std::string_view text) { std::cout << text << std::flush; };
  const auto answer = session.Generate(kDocument + "What is the REGISTER_CONTENT in line torpid-kid?\n", options);
  if (!answer.ok()) std::cerr << answer.status().ToString() << "\n";
}

void Chat(damask::Model& model) {
  damask::Session session = model.NewSession();
  for (std::string line; std::getline(std::cin, line);) {
    const auto answer = session.Chat(line, {.max_tokens = 512});
    std::cout << (answer.ok() ? answer->text : answer.status().ToString()) << "\n";
  }
}

void Cancel(damask::Session& session, const std::string& prompt) {
  std::atomic<bool> cancel = false;
  std::thread watch([&] {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    cancel = true;  // looked at between layers
  });
  const auto answer = session.Generate(prompt, {.max_tokens = 100000, .cancel = &cancel});
  watch.join();
  if (answer.ok() && answer->finish_reason == "cancelled") std::cout << "kept: " << answer->text << "\n";
}

damask::Status AskBoth(damask::Model& model) {
  damask::Session document = model.NewSession();
  const auto read = document.Generate(kDocument, {.max_tokens = 0});  // reads, answers nothing
  if (!read.ok()) return read.status();
  for (const char* line : {"torpid-kid", "tacit-colonial"}) {
    auto session = document.Fork();  // the document's pages are shared, not copied
    if (!session.ok()) return session.status();
    const std::string question = "What is the REGISTER_CONTENT in line " + std::string(line) + "?\n";
    const auto answer = session->Generate(question, {.max_tokens = 32, .temperature = 0, .stop = {"\n"}});
    if (!answer.ok()) return answer.status();
    std::cout << answer->text << "\n";
  }
  return {};
}

damask::Status AskInTurn(damask::Session& session, const std::vector<std::string>& questions) {
  const uint64_t document_end = session.length();
  for (const std::string& question : questions) {
    const auto answer = session.Generate(question, {.max_tokens = 32, .temperature = 0, .stop = {"\n"}});
    if (!answer.ok()) return answer.status();
    std::cout << answer->text << "\n";
    session.Truncate(document_end);
  }
  return {};
}

void OnTwoThreads(damask::Model& model) {
  const auto work = [&model](const char* prompt) {
    damask::Session session = model.NewSession();
    (void)session.Generate(prompt, {.max_tokens = 32}).ok();
  };
  std::thread first(work, "In the beginning");
  std::thread second(work, "It was the best of times");
  first.join();
  second.join();
}

void Logs() {
  damask::SetLogSink([](damask::LogLevel level, const std::string& message) {
    if (level == damask::LogLevel::kWarning) std::cerr << "my program: " << message << "\n";
  });
}

}  // namespace

int main(int argc, char** argv) {
  Logs();
  auto model = Load(argc > 1 ? argv[1] : "");
  if (!model.ok()) return Fail(model.status());
  Stream(*model);
  Chat(*model);
  if (const damask::Status status = AskBoth(*model); !status.ok()) return Fail(status);
  damask::Session session = model->NewSession();
  const auto read = session.Generate(kDocument, {.max_tokens = 0});
  if (!read.ok()) return Fail(read.status());
  const std::string question = "What is the REGISTER_CONTENT in line torpid-kid?\n";
  if (const damask::Status status = AskInTurn(session, {question, question}); !status.ok()) return Fail(status);
  Cancel(session, question);
  OnTwoThreads(*model);
  return 0;
}
