// make_model: random-weight model files by seed, for tests, benchmarks and comparisons with other engines.
#include <cstdio>
#include <exception>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/thread_pool.h"
#include "tools/make_model/make_model.h"

namespace damask::make_model {
namespace {

struct Flags {
  ModelSpec spec;
  std::string shape = "tiny";
  std::string arch = "llama";
  std::string rope_scaling;
  std::string output;
  std::string hf_folder;
  size_t threads = DefaultThreadCount();
  bool tied = false;
  bool untied = false;
};

void AddFlags(CLI::App* app, Flags* flags) {
  ModelSpec& spec = flags->spec;
  app->add_option("-o,--output", flags->output, "GGUF file to write");
  app->add_option("--hf", flags->hf_folder, "Hugging Face folder to write (type F32, F16 or BF16)");
  app->add_option("--shape", flags->shape, "tiny, or 1b: the shape of Llama-3.2-1B")->capture_default_str();
  app->add_option("--arch", flags->arch, ArchNames())->capture_default_str();
  app->add_option("--type", spec.type,
                  "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, Q3_K_M, Q4_K_M, "
                  "Q5_K_M or "
                  "MXFP4_MOE")
      ->capture_default_str();
  app->add_option("--seed", spec.seed, "same seed, same bytes")->capture_default_str();
  app->add_option("--layers", spec.layers, "layers");
  app->add_option("--width", spec.width, "embedding length");
  app->add_option("--heads", spec.heads, "query heads");
  app->add_option("--kv-heads", spec.kv_heads, "key/value heads");
  app->add_option("--head-dim", spec.head_dim, "length of a head");
  app->add_option("--ffn", spec.ffn, "feed-forward length");
  app->add_option("--experts", spec.experts, "feed-forward networks of a layer (llama: Mixtral then)");
  app->add_option("--experts-used", spec.experts_used, "of which a token takes so many");
  app->add_option("--vocab", spec.vocab, "vocabulary size");
  app->add_option("--context", spec.context, "context length");
  app->add_option("--rms-epsilon", spec.rms_epsilon, "epsilon of the norms");
  app->add_flag("--biases", spec.biases, "biases of attention's output and of the feed-forward matrices (llama)");
  app->add_option("--guessing-layers", spec.guessing_layers, "of the layers so many, the last, guess ahead (glm4moe)");
  app->add_flag("!--no-qk-norm", spec.qk_norm, "no norms of queries and keys (glm4moe)");
  app->add_flag("--tied", flags->tied, "the output matrix is the embedding");
  app->add_flag("--untied", flags->untied, "the output matrix is its own");
  app->add_option("--rope-base", spec.rope_base, "base of the rotation frequencies");
  app->add_option("--rope-scaling", flags->rope_scaling, "none, linear, yarn, llama3 or longrope");
  app->add_option("--rope-factor", spec.rope_factor, "how much longer than trained");
  app->add_option("--rope-original-context", spec.rope_original_context, "trained length; default context / factor");
  app->add_option("--rope-dims", spec.rope_dims, "rotated dimensions of a head (phi3, glm4, glm4moe); default all");
  app->add_option("--window", spec.window, "sliding window (mistral, phi3, gemma3, gpt-oss, olmo2)");
  app->add_option("--logit-scale", spec.logit_scale, "standard deviation of the logits");
  app->add_option("--attention-scale", spec.attention_scale, "its square is the deviation of the attention scores");
  app->add_option("--outlier-every", spec.outlier_every, "one weight in N is larger");
  app->add_option("--outlier-scale", spec.outlier_scale, "by this factor");
  app->add_option("--split", spec.split, "tensors per shard");
  app->add_option("-t,--threads", flags->threads, "threads")->check(CLI::Range(1, 1024));
}

Status Run(const Flags& flags) {
  ModelSpec spec = flags.spec;
  DAMASK_ASSIGN_OR_RETURN(spec.arch, ParseArch(flags.arch));
  if (!flags.rope_scaling.empty()) {
    DAMASK_ASSIGN_OR_RETURN(spec.rope_scaling, ParseRopeScaling(flags.rope_scaling));
  }
  if (flags.tied && flags.untied) return InvalidArgument("--tied and --untied exclude each other");
  if (flags.tied) spec.tied = true;
  if (flags.untied) spec.tied = false;
  if (flags.output.empty() && flags.hf_folder.empty()) return InvalidArgument("nothing to write: give -o FILE or --hf FOLDER");
  ThreadPool pool(flags.threads);
  if (!flags.output.empty()) {
    DAMASK_ASSIGN_OR_RETURN(const std::vector<std::string> files, WriteGgufModel(spec, flags.output, &pool));
    for (const std::string& file : files) fmt::print("{}\n", file);
  }
  if (!flags.hf_folder.empty()) {
    DAMASK_RETURN_IF_ERROR(WriteHuggingFaceModel(spec, flags.hf_folder, &pool));
    fmt::print("{}\n", flags.hf_folder);
  }
  return {};
}

// The shape's numbers are the defaults of the flags that follow, so it is looked for before they are read.
int Main(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    std::string shape;
    if (argument == "--shape" && i + 1 < argc) shape = argv[i + 1];
    if (argument.starts_with("--shape=")) shape = argument.substr(8);
    if (shape.empty()) continue;
    if (const Status status = ApplyShape(shape, &flags.spec); !status.ok()) {
      fmt::print(stderr, "make_model: {}\n", status.ToString());
      return 2;
    }
  }
  CLI::App app("Writes random-weight models.\nExample: make_model --shape 1b --type Q4_K_M -o 1b-q4_k_m.gguf", "make_model");
  AddFlags(&app, &flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Status status = Run(flags);
  if (status.ok()) return 0;
  fmt::print(stderr, "make_model: {}\n", status.ToString());
  return status.code() == StatusCode::kInvalidArgument ? 2 : 1;
}

}  // namespace
}  // namespace damask::make_model

int main(int argc, char** argv) {
  try {
    return damask::make_model::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_model: %s\n", error.what());
    return 1;
  }
}
