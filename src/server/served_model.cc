#include "server/served_model.h"

#include <chrono>
#include <filesystem>

#include "base/log.h"
#include "engine/conversation.h"
#include "masks/mask.h"
#include "report/mask_page.h"
#include "server/prefix_binding.h"

namespace damask::server {
namespace {

constexpr std::string_view kEmbeddedName = "damask-reference";  // clients put it into requests: one word

// "models/llama.Q8_0.gguf" -> "llama.Q8_0", "Llama-3.2-1B/" -> "Llama-3.2-1B": what people call a model.
std::string FileName(const std::string& path) {
  const std::filesystem::path name = std::filesystem::path(path).filename();
  if (name.empty()) return std::filesystem::path(path).parent_path().filename().string();
  return (name.extension() == ".gguf" ? name.stem() : name).string();
}

}  // namespace

Result<std::unique_ptr<ServedModel>> ServedModel::Load(const ServedModelOptions& options) {
  std::unique_ptr<ServedModel> served(new ServedModel);
  served->options_ = options;
  // Before the compute threads, which make do with as many as there are.
  served->answer_writer_ = std::make_unique<Background>(1);
  DAMASK_ASSIGN_OR_RETURN(served->engine_, engine::Engine::Load(options.engine));
  engine::Engine& engine = *served->engine_;
  const model::ModelConfig& config = engine.model().config();
  served->chat_form_ = engine::ModelChatForm(engine);
  served->file_name_ = engine.embedded() ? std::string(kEmbeddedName) : FileName(options.engine.model_path);
  served->card_ = {.id = options.alias.empty() ? served->file_name_ : options.alias,
                   .created = SecondsNow(),
                   .vocab = config.vocab,
                   .n_ctx_train = config.context,
                   .parameters = engine.model().parameters(),
                   .bytes = engine.model().file_bytes(),
                   .n_ctx = engine.context()};
  served->MakeMaskPage();
  const batching::PrefixShape shape = {
      .binding = PrefixBinding(engine), .layers = config.layers, .kv_heads = config.kv_heads, .vocab = config.vocab};
  DAMASK_ASSIGN_OR_RETURN(served->prefixes_, batching::PrefixStore::Open(options.prefixes, shape, engine.page_pool()));
  if (!served->chat_family()) LogWarning(engine::WhyPlainChat(engine) + ": plain text is used for chats");
  served->scheduler_ = std::make_unique<batching::Scheduler>(&engine, served->prefixes_.get(), options.scheduler);
  return served;
}

void ServedModel::MakeMaskPage() {
  const masks::Mask* const mask = engine_->policy().mask();
  if (mask == nullptr) return;
  const report::MaskFigures figures = report::MeasureMask(*mask, {engine_->context()}, &engine_->pool());
  Result<std::string> page = report::MaskPage(*mask, figures, &engine_->pool());
  if (page.ok()) {
    mask_page_ = *std::move(page);
  } else {
    LogWarning("no pictures of the mask: " + page.status().ToString());
  }
}

bool ServedModel::keeps_prompts() const {
  const batching::PrefixStoreOptions& prefixes = options_.prefixes;
  return scheduler_->keeps_prompts() && (prefixes.memory_bytes > 0 || !prefixes.directory.empty());
}

int64_t ServedModel::SecondsNow() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool ServedModel::HasName(std::string_view name) const { return name.empty() || name == card_.id || name == file_name_; }

}  // namespace damask::server
