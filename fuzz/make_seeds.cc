// Writes the seed files of the fuzz targets below FOLDER (tests/corpus): small files, sound and broken, one idea each.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "masks/mask_file.h"
#include "tests/batching/prefix_bytes.h"
#include "tests/formats/safetensors_builder.h"
#include "tests/masks/mask_cases.h"
#include "tokenizer/byte_alphabet.h"

namespace {

using namespace damask::formats::test;  // the builders

class Folder {
 public:
  explicit Folder(const std::filesystem::path& path) : path_(path) { std::filesystem::create_directories(path); }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path path_;
};

void WriteGguf(const Folder& folder) {
  folder.Write("small.gguf", SmallGguf());
  folder.Write("version2.gguf", GgufBuilder().Version(2).Text("general.architecture", "llama").Build());
  folder.Write("twice.gguf", GgufBuilder().U8("twin", 1).U8("twin", 2).Build());
  folder.Write("shard.gguf", GgufBuilder().U16("split.no", 0).U16("split.count", 2).I32("split.tensors.count", 2).Build());
  folder.Write(
      "k_quants.gguf",
      GgufBuilder().Tensor("q4", 12, {256}, std::string(144, '\1')).Tensor("q6", 14, {256, 1}, std::string(210, '\2')).Build());
  folder.Write("overlap.gguf",
               GgufBuilder().Describe("a", 24, {64}, 0).Describe("b", 24, {64}, 32).Data(std::string(96, 'x')).Build());
  folder.Write("wrap.gguf", GgufBuilder()
                                .Describe("a", 24, {(uint64_t{1} << 63) - 64}, 0)
                                .Describe("b", 24, {(uint64_t{1} << 63) - 64}, (uint64_t{1} << 63) - 64)
                                .Build());
  folder.Write("long_string.gguf", GgufBuilder().Pair("k", kString, Le(~uint64_t{0}) + "x").Build());
  folder.Write("long_array.gguf", GgufBuilder().Array("k", kU8, uint64_t{1} << 63, "x").Build());
  folder.Write(
      "aligned.gguf",
      GgufBuilder().Alignment(8).U32("general.alignment", 8).Tensor("a", 24, {1}, "x").Tensor("b", 24, {1}, "y").Build());
  folder.Write("tail.gguf", GgufBuilder().Tensor("a", 24, {1}, "x").Build() + GgufBuilder().Build());
}

// The vocabularies' keys of a file with these tokens; kinds are GGUF's (1 normal, 3 control, 4 user-defined, 6 byte).
GgufBuilder Vocabulary(std::string_view model, const std::vector<std::string>& tokens, const std::vector<int32_t>& kinds) {
  std::vector<float> scores;
  for (size_t i = 0; i < tokens.size(); ++i) scores.push_back(-static_cast<float>(i));
  return std::move(GgufBuilder()
                       .Text("general.architecture", "llama")
                       .Text("tokenizer.ggml.model", model)
                       .Texts("tokenizer.ggml.tokens", tokens)
                       .Numbers("tokenizer.ggml.scores", kF32, scores)
                       .Numbers("tokenizer.ggml.token_type", kI32, kinds));
}

void WriteVocabularies(const Folder& folder) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> kinds = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    kinds.push_back(6);
  }
  for (const char* word : {"\xe2\x96\x81", "a", "aa", "aaaa", "l", "ll", "He", "\xc3\xa9"}) {
    tokens.emplace_back(word);
    kinds.push_back(1);
  }
  tokens.emplace_back("<|end|>");
  kinds.push_back(4);
  folder.Write("spm.gguf", Vocabulary("llama", tokens, kinds).Build());
  tokens.emplace_back("\xa9");  // part of a character
  kinds.push_back(4);
  folder.Write("cut_character.gguf", Vocabulary("llama", tokens, kinds).Build());

  tokens.clear();
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(damask::tokenizer::ByteCharacter(static_cast<uint8_t>(byte)));
  for (const char* word : {"aa", "ll", "He", "<|end|>"}) tokens.emplace_back(word);
  kinds.assign(tokens.size(), 1);
  kinds.back() = 3;
  folder.Write("bpe.gguf", Vocabulary("gpt2", tokens, kinds)
                               .Text("tokenizer.ggml.pre", "gpt-2")
                               .Texts("tokenizer.ggml.merges", {"a a", "l l", "H e"})
                               .Build());
}

// The keys that all architectures have.
GgufBuilder ModelKeys(const std::string& architecture) {
  const auto key = [&](const char* name) { return architecture + "." + name; };
  return std::move(GgufBuilder()
                       .Text("general.architecture", architecture)
                       .U32(key("block_count"), 4)
                       .U32(key("embedding_length"), 64)
                       .U32(key("feed_forward_length"), 96)
                       .U32(key("attention.head_count"), 4)
                       .U32(key("attention.head_count_kv"), 2)
                       .U32(key("context_length"), 512)
                       .U32(key("vocab_size"), 300));
}

void WriteConfigs(const Folder& folder) {
  folder.Write("llama.gguf", ModelKeys("llama")
                                 .Text("llama.rope.scaling.type", "yarn")
                                 .F32("llama.rope.scaling.factor", 4)
                                 .U32("llama.rope.scaling.original_context_length", 128)
                                 .Build());
  folder.Write("gemma3.gguf", ModelKeys("gemma3")
                                  .U32("gemma3.attention.sliding_window", 64)
                                  .Numbers<uint8_t>("gemma3.attention.sliding_window_pattern", kBool, {1, 0, 1, 1})
                                  .F32("gemma3.rope.freq_base_swa", 5000)
                                  .Build());
  folder.Write("glm4moe.gguf", ModelKeys("glm4moe")
                                   .U32("glm4moe.expert_count", 8)
                                   .U32("glm4moe.expert_used_count", 2)
                                   .U32("glm4moe.expert_feed_forward_length", 32)
                                   .U32("glm4moe.expert_shared_count", 1)
                                   .U32("glm4moe.leading_dense_block_count", 1)
                                   .U32("glm4moe.nextn_predict_layers", 1)
                                   .Build());
  folder.Write("mistral3.gguf", ModelKeys("mistral3")
                                    .F32("mistral3.attention.temperature_scale", 0.1f)
                                    .F32("mistral3.rope.scaling.yarn_log_multiplier", 1)
                                    .Build());
  folder.Write("granite.gguf",
               ModelKeys("granite").F32("granite.logit_scale", 8).Bool("granite.rope.scaling.finetuned", 0).Build());
  folder.Write("no_heads.gguf", ModelKeys("qwen2").U64("qwen2.attention.key_length", 0).Build());
  const std::string shape = R"("num_hidden_layers":4,"hidden_size":64,"num_attention_heads":4,"num_key_value_heads":2,)"
                            R"("intermediate_size":96,"vocab_size":300,"max_position_embeddings":512)";
  folder.Write("qwen2.json", R"({"model_type":"qwen2",)" + shape +
                                 R"(,"sliding_window":64,"use_sliding_window":true,"max_window_layers":2,"layer_types":)"
                                 R"(["full_attention","sliding_attention","full_attention","sliding_attention"]})");
  folder.Write("phi3.json", R"({"model_type":"phi3",)" + shape +
                                R"(,"rope_parameters":{"rope_type":"longrope","partial_rotary_factor":0.5,"rope_theta":1e4,)"
                                R"("short_factor":[1,1,1.5,2],"long_factor":[1,2,4,8.5]},)"
                                R"("original_max_position_embeddings":128})");
  folder.Write("yarn.json",
               R"({"model_type":"qwen3",)" + shape +
                   R"(,"rope_scaling":{"type":"yarn","original_max_position_embeddings":128,"attention_factor":1.1}})");
  folder.Write("gemma3.json", R"({"model_type":"gemma3","text_config":{"num_hidden_layers":6,"sliding_window":64,)"
                              R"("rope_parameters":{"full_attention":{"rope_type":"linear","factor":8},)"
                              R"("sliding_attention":{"rope_theta":2e4}}}})");
  folder.Write("experts.json", R"({"model_type":"qwen3_moe",)" + shape +
                                   R"(,"num_experts":8,"num_experts_per_tok":2,"moe_intermediate_size":32})");
  folder.Write("granite.json", R"({"model_type":"granite",)" + shape +
                                   R"(,"attention_multiplier":0.015625,"logits_scaling":8,"residual_multiplier":0.22})");
  folder.Write("unrotated.json", R"({"model_type":"smollm3",)" + shape + R"(,"no_rope_layers":[1,1,1,0]})");
  folder.Write("large_head.json",
               R"({"model_type":"llama",)" + shape + R"(,"head_dim":18446744073709551615,"partial_rotary_factor":1})");
  folder.Write("tiny_factor.json",
               R"({"model_type":"llama",)" + shape + R"(,"rope_scaling":{"type":"linear","factor":1e-310}})");
  folder.Write("no_layers.json", R"({"model_type":"llama","num_hidden_layers":0,"hidden_size":64})");
}

// Two bytes of choices, then a template, a question and an answer with NUL between.
void WriteTemplates(const Folder& folder) {
  const auto write = [&folder](const char* name, const std::string& choices, const std::string& jinja,
                               const std::string& answer) {
    const std::string nul(1, '\0');
    folder.Write(name, choices + jinja + nul + "2 + 2? </think><|end|>" + nul + answer);
  };
  const std::string thinks = "<think>\nAdd them.\n</think>\n\n4";
  const std::string channels = "<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant<|channel|>final<|message|>4";
  write("llama2", "\1\1", "{{ bos_token + '[INST] <<SYS>>' + content.strip() + ' ' + eos_token }}", "4");
  write("llama3", "\2\1", "<|start_header_id|>{{ role }}<|end_header_id|>", " 4 ");
  write("qwen3", "\3\2",
        "<|im_start|>{{ content.split('</think>')[-1].lstrip('\\n') }}{% if enable_thinking %}last_query_index", thinks);
  write("qwen2", "\4\1", "<|im_start|>system\\nYou are a helpful assistant<|im_end|>", "4");
  write("mistral", "\5\1", "{{ \"[INST]\" }}[AVAILABLE_TOOLS]", "4");
  write("mistral7", "\6\1", "[INST] [SYSTEM_PROMPT]", "4");
  write("coder", "\7\1", "{{ 'You are an AI programming assistant\\n' }}### Instruction: <|EOT|>", "4");
  write("r1", "\1\3", "<｜User｜><｜Assistant｜><think>\\n<｜end▁of▁sentence｜>{{ content.split('</think>')|last }}", thinks);
  write("phi3", "\2\1", "<|user|><|assistant|>\\n<|end|>", "4");
  write("gemma", "\3\1", "<start_of_turn>", "4");
  write("granite", "\4\1", "<|start_of_role|>", "4");
  write("gpt_oss", "\5\1", "<|start|><|channel|>{{- developer_message }}{{- \"\\n\\n\" }}", channels);
  write("glm4", "\6\1", "[gMASK]<sop><think></think>/nothink<|assistant|>\n<think>", thinks);
  write("seed", "\7\2", "<seed:bos>", "<seed:think>Add them.</seed:think>\n4");
  write("unknown", "\1\1", "{{ messages }}", channels + thinks);
}

void WriteSafetensors(const Folder& folder) {
  folder.Write("small.safetensors", SmallSafetensors());
  folder.Write("odd.safetensors",
               SafetensorsFile("{" + EntryText("one", "U8", "[1]", "[0,1]") + "," + EntryText("w", "F32", "[1]", "[1,5]") + "}",
                               "xabcd"));
  folder.Write("empty.safetensors",
               SafetensorsFile("{\"__metadata__\":{\"a\":\"b\"}," + EntryText("none", "F16", "[0,3]", "[0,0]") + "}", ""));
  folder.Write("hole.safetensors", SafetensorsFile("{" + EntryText("a", "F32", "[1]", "[4,8]") + "}", "12345678"));
  folder.Write("wrap.safetensors", SafetensorsFile("{" + EntryText("a", "F32", "[4294967296,4294967296]", "[0,0]") + "}", ""));
  folder.Write("length.safetensors", SafetensorsFile("{}", "", ~uint64_t{0}));
}

void WriteJson(const Folder& folder) {
  folder.Write(
      "config.json",
      R"({"architectures":["LlamaForCausalLM"],"hidden_size":64,"rope_theta":10000.0,"tie_word_embeddings":false,"rope_scaling":null})");
  folder.Write("index.json",
               R"({"metadata":{"total_size":8},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"../x"}})");
  folder.Write("strings.json", R"(["\u00e9\ud83d\ude00\n\"\\","é", "", "\u0000"])");
  folder.Write("numbers.json", "[0,-0,1e3,-1.5E-7,18446744073709551615,-9223372036854775808,18446744073709551616,1e308]");
  folder.Write("deep.json", std::string(200, '[') + std::string(200, ']'));
  folder.Write("twice.json", R"({"a":1,"b":{"a":1},"a":2})");
}

void WriteApiRequests(const Folder& folder) {
  folder.Write("chat.json",
               R"({"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[)"
               R"({"type":"text","text":"Hi"}]}],"max_completion_tokens":16,"temperature":0.5,"top_p":0,"seed":-1,)"
               R"("stop":["\n","END"],"stream":true,"stream_options":{"include_usage":true},"logprobs":true,)"
               R"("top_logprobs":20,"presence_penalty":-2,"frequency_penalty":2.0})");
  folder.Write("completion.json", R"({"prompt":["Hi"],"max_tokens":1e3,"logprobs":5,"n":1,"best_of":1.0,"echo":false,)"
                                  R"("suffix":null,"user":"me","min_p":0.1,"top_k":-1,"repetition_penalty":1.1})");
  folder.Write("llama.json", R"({"prompt":[[1,2,3]],"n_predict":-1,"n_probs":3,"repeat_last_n":-1,"repeat_penalty":1.1,)"
                             R"("cache_prompt":true,"return_progress":true,"mirostat":0,"samplers":["top_k"]})");
  folder.Write("tools.json", R"({"messages":[{"role":"tool","content":null}],"prompt":[1,"a"],"tools":[{}],"tool_choice":{}})");
  folder.Write("response_format.json",
               R"({"prompt":"","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}})");
  folder.Write("numbers.json", R"({"prompt":[0,2147483648],"max_tokens":18446744073709551616,"seed":-9223372036854775809})");
  folder.Write("surrogate.json", R"({"prompt":"\ud800"})");
  folder.Write("twice.json", R"({"prompt":"a","prompt":"b"})");
  folder.Write("tokenize.json", R"({"content":"Hi","add_special":true,"parse_special":false,"with_pieces":true})");
  folder.Write("detokenize.json", R"({"tokens":[0,999,1000,-1,1.0,"a"]})");
}

// The first byte is not of the connection: the size of the pieces is made of it.
void WriteHttpRequests(const Folder& folder) {
  const std::string post = "\6POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n";
  folder.Write("get", "\1GET /v1/models?x=1 HTTP/1.1\r\nHost: [::1]:8080\r\nOrigin: http://localhost:3000\r\n\r\n");
  folder.Write("body", post + "Authorization: Bearer key\r\nContent-Length: 13\r\n\r\n{\"prompt\":\"\"}");
  folder.Write("chunks",
               post + "Transfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\n{\"p\r\nA\r\nrompt\":\"\"}\r\n0\r\nX: y\r\n\r\n");
  folder.Write("pipeline", "\x1f\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" + post.substr(1) + "Content-Length: 2\r\n\r\n{}" +
                               "HEAD /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /x HTTP/1.1\r\n");
  folder.Write("absolute", "\2GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
  folder.Write("continue", post + "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n");
  folder.Write("two_lengths", post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}");
  folder.Write("length_and_chunks",
               post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n");
  folder.Write("folded", "\3GET / HTTP/1.1\r\nHost: a\r\nX: one\r\n two\r\nY:\t\r\n\r\n");
  folder.Write("long_head", "\xffGET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(700, 'x') + "\r\n\r\n");
  folder.Write("bad_chunk", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n");
  folder.Write("not_http", std::string("\0\x16\x03\x01\x02", 5) + std::string(60, '\0'));
}

void WriteMasks(const Folder& folder) {
  namespace masks = damask::masks;
  folder.Write("one_head.mask", masks::SerializeMask(masks::RandomMask(1, 1, 4, 1)).value());
  masks::Mask mask = masks::RandomMask(2, 2, 12, 2);
  mask.heads[3].treatment = masks::Treatment::kStatic;
  mask.heads[3].form = masks::StaticForm::kWindow;
  mask.heads[3].window = 64;
  mask.heads[3].window_sinks = 4;
  mask.heads[1].thumbnail_side = 2;
  mask.heads[1].thumbnail = {1, 2, 3, 4};
  mask.key_directions.push_back({1, 0, 1, 64, 0.5f, std::vector<float>(64, 0.25f)});
  const std::string bytes = masks::SerializeMask(mask).value();
  masks::Mask more_blocks = mask;
  more_blocks.parameters.content_blocks = 40;
  folder.Write("more_blocks.mask", masks::SerializeMask(more_blocks).value());
  folder.Write("four_heads.mask", bytes);
  folder.Write("cut.mask", bytes.substr(0, bytes.size() / 2));
  folder.Write("version2.mask", std::string(bytes).replace(12, 1, "\2"));
  folder.Write("twice.mask", bytes + bytes.substr(32));
  // The fuzz target reads maps, too.
  folder.Write("triangle.txt", "1\n0.25 0.75\n0.5 0.125 0.375\n");
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1), }\n";
  folder.Write("square.npy", "\x93NUMPY" + std::string{'\1', '\0', static_cast<char>(header.size()), '\0'} + header +
                                 std::string("\0\0\x80\x3f", 4));
}

void WritePrefixFiles(const Folder& folder) {
  namespace batching = damask::batching;
  using batching::test::Resealed;
  using batching::test::TinyFile;
  using Start = batching::PrefixFileStart;
  folder.Write("one_block.kv", TinyFile(0, 1));
  folder.Write("continued.kv", TinyFile(2, 4));
  folder.Write("cut.kv", TinyFile(0, 2).substr(0, 5000));
  folder.Write("damaged_block.kv", TinyFile(0, 1).substr(0, 4200) + std::string(152, 'x'));
  folder.Write("newer.kv", Resealed(TinyFile(0, 1), [](Start* start, std::string*) { start->version = 9; }));
  folder.Write("many_blocks.kv", Resealed(TinyFile(0, 1), [](Start* start, std::string*) { start->end_block = ~0u; }));
  folder.Write("long_head.kv", Resealed(TinyFile(0, 1), [](Start* start, std::string*) { start->head_bytes = ~uint64_t{0}; }));
  folder.Write("odd_id.kv", Resealed(TinyFile(0, 1), [](Start*, std::string* bytes) { bytes->at(99) = '\x80'; }));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_seeds FOLDER\n";
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  WriteGguf(Folder(folder / "gguf"));
  WriteVocabularies(Folder(folder / "gguf_tokenizer"));
  WriteConfigs(Folder(folder / "config"));
  WriteTemplates(Folder(folder / "template"));
  WriteSafetensors(Folder(folder / "safetensors"));
  WriteJson(Folder(folder / "json"));
  WriteApiRequests(Folder(folder / "api_request"));
  WriteHttpRequests(Folder(folder / "http_request"));
  WriteMasks(Folder(folder / "mask"));
  WritePrefixFiles(Folder(folder / "prefix_file"));
  return 0;
}
