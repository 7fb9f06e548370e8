// Small random-weight models on disk for the tests of model and engine.
#pragma once

#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/thread_pool.h"
#include "engine/engine.h"
#include "formats/gguf.h"
#include "tests/temp_dir.h"
#include "tools/make_model/make_model.h"

namespace damask {

// A GGUF file made from `spec`, removed with the object.
class TinyModelFile {
 public:
  explicit TinyModelFile(const make_model::ModelSpec& spec) : path_(folder_.path() + "/model.gguf") {
    ThreadPool pool(2);
    const auto written = make_model::WriteGgufModel(spec, path_, &pool);
    EXPECT_TRUE(written.ok()) << written.status().ToString();
    if (written.ok() && !written->empty()) path_ = written->front();
  }
  const std::string& path() const { return path_; }
  const std::string& folder() const { return folder_.path(); }

 private:
  test::TempDir folder_;
  std::string path_;
};

// Writes `values` over the numbers of an F32 tensor of a file, from number `first` on.
inline void OverwriteNumbers(const std::string& path, const std::string& tensor, size_t first, std::span<const float> values) {
  const auto bytes = FileBytes::Open(path, LoadMode::kRead);
  ASSERT_TRUE(bytes.ok());
  const auto file = formats::GgufFile::Parse(*bytes, {});
  ASSERT_TRUE(file.ok());
  const formats::TensorInfo* info = (*file)->FindTensor(tensor);
  ASSERT_NE(info, nullptr);
  ASSERT_LE(first * sizeof(float) + values.size_bytes(), info->bytes);
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(info->data - (*bytes)->bytes().data() + static_cast<std::streamoff>(first * sizeof(float)));
  out.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  ASSERT_TRUE(out.flush());
}

inline std::unique_ptr<engine::Engine> LoadTiny(const TinyModelFile& file, engine::EngineOptions options = {}) {
  options.model_path = file.path();
  if (options.threads == 0) options.threads = 2;
  auto engine = engine::Engine::Load(options);
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

namespace engine {

// Ids of a tiny model's vocabulary that repeat only after all of them (for steps without a common factor with `vocab`).
inline std::vector<TokenId> SomeIds(size_t count, size_t vocab = 512, size_t step = 37) {
  std::vector<TokenId> ids(count);
  for (size_t i = 0; i < count; ++i) ids[i] = static_cast<TokenId>((i * step + 11) % vocab);
  return ids;
}

}  // namespace engine
}  // namespace damask
