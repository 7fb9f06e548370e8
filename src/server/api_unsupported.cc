#include "server/api_unsupported.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace damask::server {
namespace {

using formats::Json;

bool IsEmpty(const Json& value) { return value.is_string() ? value.get_ref<const std::string&>().empty() : value.empty(); }

void RefuseParameter(FieldReader* fields, const std::string& name) {
  fields->Fail(UnsupportedParameter(name, fmt::format("Unsupported parameter: damask does not support '{}'.", name)));
}

void RefuseValue(FieldReader* fields, const std::string& name, const Json& found, const std::string& supported) {
  fields->Fail(UnsupportedValue(
      name, fmt::format("Unsupported value: '{}' is {}, but damask supports only {}.", name, ValueName(found), supported)));
}

struct Neutral {
  const char* name;
  std::vector<Json> values;  // that ask for nothing
};

// Samplers of llama.cpp that are not in damask's chain, and other wishes of both APIs.
const std::vector<Neutral>& Neutrals() {
  static const std::vector<Neutral> kNeutrals = {{"echo", {false}},
                                                 {"post_sampling_probs", {false}},
                                                 {"tool_choice", {"none", "auto"}},
                                                 {"function_call", {"none", "auto"}},
                                                 {"modalities", {Json::array({"text"})}},
                                                 {"mirostat", {0}},
                                                 {"typical_p", {1}},
                                                 {"dynatemp_range", {0}},
                                                 {"xtc_probability", {0}},
                                                 {"dry_multiplier", {0}},
                                                 {"top_n_sigma", {-1, 0}},
                                                 {"n_indent", {0}},
                                                 {"t_max_predict_ms", {0, -1}},
                                                 {"min_tokens", {0}},
                                                 {"thinking_budget_tokens", {-1}}};
  return kNeutrals;
}

void RefuseOtherValues(FieldReader* fields, const Neutral& neutral) {
  const Json* value = fields->Any(neutral.name);
  if (value == nullptr || std::find(neutral.values.begin(), neutral.values.end(), *value) != neutral.values.end()) return;
  std::string supported;
  for (const Json& taken : neutral.values) supported += (supported.empty() ? "" : " or ") + taken.dump();
  RefuseValue(fields, neutral.name, *value, supported);
}

// Several answers to one prompt.
void RefuseCounts(FieldReader* fields) {
  for (const char* name : {"n", "best_of", "n_cmpl"}) {
    const auto count = fields->Integer(name, {1, std::numeric_limits<int64_t>::max()});
    if (count && *count != 1) RefuseValue(fields, name, *count, "1");
  }
}

void RefuseResponseFormat(FieldReader* fields) {
  const Json* format = fields->Object("response_format");
  if (format == nullptr) return;
  FieldReader members(*format, "response_format.");
  const std::string* type = members.Text("type");
  if (members.error()) return fields->Fail(*members.error());
  if (type == nullptr || *type != "text") RefuseValue(fields, "response_format", *format, R"({"type":"text"})");
}

}  // namespace

void RefuseUnsupported(FieldReader* fields) {
  for (const char* name : {"tools", "functions", "logit_bias", "suffix", "grammar", "lora", "image_data", "stop_token_ids",
                           "guided_regex", "guided_choice", "guided_grammar", "response_fields"}) {
    const Json* value = fields->Any(name);
    if (value != nullptr && !IsEmpty(*value)) RefuseParameter(fields, name);
  }
  // An empty schema still asks for JSON.
  for (const char* name : {"json_schema", "guided_json", "audio"}) {
    if (fields->Any(name) != nullptr) RefuseParameter(fields, name);
  }
  for (const Neutral& neutral : Neutrals()) RefuseOtherValues(fields, neutral);
  RefuseCounts(fields);
  RefuseResponseFormat(fields);
}

}  // namespace damask::server
