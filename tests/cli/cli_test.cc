#include "tests/cli/cli_test.h"

#include <algorithm>
#include <map>

#include "base/thread_pool.h"
#include "tools/make_model/make_model.h"

namespace damask::test {
namespace {

const TempDir& ModelFolder() {
  static const TempDir dir;
  return dir;
}

make_model::ModelSpec Spec(const std::string& arch, const std::string& type) {
  make_model::ModelSpec spec;
  spec.arch = make_model::ParseArch(arch).value();
  spec.type = type;
  return spec;
}

}  // namespace

ProgramResult DamaskWithInput(std::vector<std::string> args, std::string input) {
  ProgramRun run;
  run.args = std::move(args);
  run.args.insert(run.args.begin(), DAMASK_PROGRAM);
  run.stdin_text = std::move(input);
  return RunProgram(run);
}

ProgramResult Damask(std::vector<std::string> args) { return DamaskWithInput(std::move(args), ""); }

Json JsonOf(const ProgramResult& result) {
  const Json object = Json::parse(result.out, nullptr, false);
  EXPECT_TRUE(object.is_object()) << "stdout: " << result.out.substr(0, 500) << "\nstderr: " << result.err;
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1) << result.out.substr(0, 500);
  return object.is_object() ? object : Json();
}

Json DamaskJson(std::vector<std::string> args) {
  args.emplace_back("--json");
  const ProgramResult result = Damask(std::move(args));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return JsonOf(result);
}

void ExpectRefused(const ProgramResult& result, const std::string& part) {
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err.rfind("damask: error: ", 0), 0u) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << "wanted " << part << " in: " << result.err;
}

std::string TinyModel(const std::string& arch, const std::string& type) {
  static std::map<std::string, std::string> made;
  std::string& path = made[arch + type];
  if (path.empty()) {
    ThreadPool pool(1);
    const std::string name = ModelFolder().File(arch + "-" + type + ".gguf");
    const auto files = make_model::WriteGgufModel(Spec(arch, type), name, &pool);
    if (!files.ok()) throw std::runtime_error(files.status().ToString());
    path = files->at(0);
  }
  return path;
}

std::string TinyFolder() {
  static const std::string path = [] {
    ThreadPool pool(1);
    const Status status = make_model::WriteHuggingFaceModel(Spec("llama", "F32"), ModelFolder().File("folder"), &pool);
    if (!status.ok()) throw std::runtime_error(status.ToString());
    return ModelFolder().File("folder");
  }();
  return path;
}

}  // namespace damask::test
