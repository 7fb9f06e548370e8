#include "cli/suggest.h"

#include <algorithm>

#include "base/text.h"

namespace damask::cli {
namespace {

struct Hint {
  std::string_view names;  // with a space between them
  std::string_view text;
};

constexpr Hint kLlamaFlags[] = {
    {"-ngl --gpu-layers --n-gpu-layers -sm --split-mode -mg --main-gpu -ts --tensor-split -dev --device -nkvo --no-kv-offload "
     "-ot --override-tensor -cmoe --cpu-moe -ncmoe --n-cpu-moe --op-offload --no-op-offload -fit --fit --rpc",
     "everything runs on the CPU"},
    {"-fa --flash-attn", "attention is always computed in blocks"},
    {"-ctk --cache-type-k -ctv --cache-type-v", "the KV cache's type is --kv q8"},
    {"-b --batch-size -ub --ubatch-size", "prompts are read in chunks of a fixed size"},
    {"--mlock", "the system decides what stays in memory (--no-mmap reads the file whole)"},
    {"--mmap", "files are mapped unless --no-mmap is given"},
    {"-nr --no-repack", "weights are packed only with --repack"},
    {"--no-warmup --warmup", "there is no warm-up"},
    {"-v --verbose --log-verbose -lv --verbosity --log-verbosity", "notes are shown unless --quiet is given"},
    {"--log-disable", "--quiet leaves notes away"},
    {"-tb --threads-batch", "-t is for reading and answering"},
    {"--threads-http", "one thread serves all connections"},
    {"-C --cpu-mask -Cr --cpu-range -Cb --cpu-mask-batch -Crb --cpu-range-batch --cpu-strict --numa --prio --poll",
     "the system chooses the cores (taskset or numactl bind the program to some)"},
    {"-cb --cont-batching -nocb --no-cont-batching", "'damask serve' always draws answers together"},
    {"--chat-template", "what it reads is put into no chat template"},
    {"--jinja --no-jinja --chat-template-file --chat-template-kwargs --in-prefix --in-prefix-bos --in-suffix",
     "a model's chat template is used as it is, where damask knows its family (--chat-template NAME gives another)"},
    {"--grammar --grammar-file -j --json-schema -jf --json-schema-file", "answers cannot be bound to a grammar or a schema"},
    {"-hf --hf-repo -hff --hf-file -mu --model-url", "nothing is downloaded: -m names a file or a folder"},
    {"--offline", "nothing is ever downloaded"},
    {"--prompt-cache --prompt-cache-all --prompt-cache-ro --slot-save-path",
     "'damask serve --prefix-cache' keeps what was read"},
    {"--cache-reuse", "'damask serve' keeps the beginnings of prompts by itself, as many as --prefix-bytes allows"},
    {"--no-display-prompt --display-prompt", "the prompt is never printed"},
    {"--verbose-prompt", "'damask tokenize' shows the tokens of a text"},
    {"-co --color", "answers have no colours"},
    {"--simple-io", "over a pipe 'damask chat' reads a question a line"},
    {"-cnv --conversation -i --interactive -if --interactive-first -mli --multiline-input",
     "'damask chat' is the conversation"},
    {"-st --single-turn", "'damask generate' gives one answer"},
    {"--system-prompt-file -sysf",
     "'damask generate' and 'damask chat' take the text itself, in a shell --system \"$(cat FILE)\""},
    {"--no-escape", "escapes in texts stand for themselves unless 'damask generate' has -e"},
    {"--ignore-eos", "an answer ends where the model ends it (requests to 'damask serve' may say ignore_eos)"},
    {"--presence-penalty --frequency-penalty", "only requests to 'damask serve' can set it"},
    {"--samplers --sampling-seq --sampler-seq --typical --top-nsigma --xtc-probability --xtc-threshold --dry-multiplier "
     "--dry-base "
     "--dry-allowed-length --dry-penalty-last-n --dry-sequence-breaker --dynatemp-range --dynatemp-exp --mirostat "
     "--mirostat-lr "
     "--mirostat-ent",
     "samplers are --repeat-penalty, --top-k, --top-p, --min-p and --temp, in this order"},
    {"-l --logit-bias", "single tokens cannot be made likelier"},
    {"--keep --no-context-shift --context-shift", "a full context ends an answer: nothing is shifted out"},
    {"--rope-freq-scale", "--rope-scale is the other way round, 4 for a text four times as long"},
    {"-md --model-draft -hfd --hf-repo-draft -ngld --gpu-layers-draft",
     "--draft-max guesses from the text, without a second model"},
    {"-mm --mmproj -mmu --mmproj-url --image --audio", "damask reads texts only"},
    {"--lora --lora-scaled --control-vector --control-vector-scaled",
     "adapters are not read: give a model that they were merged into"},
    {"--embedding --embeddings --rerank --reranking --pooling", "damask writes answers, it has no embeddings"},
    {"--metrics --slots --no-slots --props", "'damask serve' always answers GET /metrics, /slots and /props"},
    {"--webui --no-webui", "the server's page is always there"},
    {"--ssl-key-file --ssl-cert-file", "the server speaks plain HTTP: a proxy in front of it may speak TLS"},
    {"-pps", "requests share what their prompts have in common by themselves"},
    {"-ptc --print-token-count", "the summary of an answer counts its tokens"},
};

constexpr Hint kForeignCommands[] = {
    {"run cli main", "'damask generate' gives one answer, 'damask chat' is a conversation"},
    {"perplexity ppl", "'damask eval perplexity' measures it"},
    {"quantize convert", "model files are read as they are, nothing has to be converted"},
    {"embedding embeddings embed rerank", "damask writes answers, it has no embeddings"},
    {"pull download", "nothing is downloaded: -m names a file or a folder"},
};

template <size_t kCount>
std::string_view FindHint(const Hint (&hints)[kCount], std::string_view name) {
  for (const Hint& hint : hints) {
    const auto names = Split(hint.names, ' ');
    if (std::find(names.begin(), names.end(), name) != names.end()) return hint.text;
  }
  return {};
}

}  // namespace

std::string_view LlamaFlagHint(std::string_view flag) { return FindHint(kLlamaFlags, flag); }

std::string_view ForeignCommandHint(std::string_view command) { return FindHint(kForeignCommands, command); }

}  // namespace damask::cli
