// Everything that is loaded for serving one model: engine, prefix store, scheduler, and what is told of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "batching/prefix_store.h"
#include "batching/scheduler.h"
#include "engine/conversation.h"
#include "engine/engine.h"
#include "server/api_request.h"
#include "server/background.h"
#include "server/openai_models.h"
#include "tokenizer/chat_template.h"

namespace damask::server {

// How chats with a model that thinks aloud are answered, where a request does not say.
struct ThoughtOptions {
  tokenizer::Thoughts thoughts = tokenizer::Thoughts::kAsTheModel;
  bool apart = true;  // reasoning_content holds them, not content
};

struct ServedModelOptions {
  engine::EngineOptions engine;
  batching::SchedulerOptions scheduler;
  batching::PrefixStoreOptions prefixes;
  ThoughtOptions thoughts;
  RequestDefaults requests;
  std::string alias;  // the name the model goes by; "": its file's name
};

class ServedModel {
 public:
  // Loads and starts everything. Errors: those of Engine::Load and PrefixStore::Open.
  static Result<std::unique_ptr<ServedModel>> Load(const ServedModelOptions& options);

  const engine::Engine& engine() const { return *engine_; }
  batching::Scheduler& scheduler() const { return *scheduler_; }
  // Whether a prompt that has been read need not be read again.
  bool keeps_prompts() const;
  // Writes whole answers: that may take long, and the scheduler's thread computes for all.
  Background& answer_writer() const { return *answer_writer_; }
  const ModelCard& card() const { return card_; }
  const batching::SchedulerOptions& scheduler_options() const { return options_.scheduler; }
  const ThoughtOptions& thought_options() const { return options_.thoughts; }
  const RequestDefaults& request_defaults() const { return options_.requests; }
  std::optional<tokenizer::ChatFamily> chat_family() const { return chat_form_.family; }
  const engine::ChatForm& chat_form() const { return chat_form_; }
  std::string policy_name() const { return engine_->policy().Spec(); }
  const std::string& mask_page() const { return mask_page_; }  // HTML; "" where no mask is in use

  static int64_t SecondsNow();  // since 1970

  // Whether a request's "model" means this one: "", the alias, the file's name.
  bool HasName(std::string_view name) const;

 private:
  ServedModel() = default;
  void MakeMaskPage();

  ServedModelOptions options_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<batching::PrefixStore> prefixes_;
  std::unique_ptr<Background> answer_writer_;
  std::unique_ptr<batching::Scheduler> scheduler_;  // ends before what it uses
  ModelCard card_;
  std::string file_name_;
  engine::ChatForm chat_form_;
  std::string mask_page_;
};

}  // namespace damask::server
