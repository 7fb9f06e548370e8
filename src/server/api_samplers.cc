#include "server/api_samplers.h"

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace damask::server {
namespace {

using formats::Json;

struct Step {
  std::string_view name;
  char letter;
  void (*turn_off)(engine::SamplerOptions*);
};

// As damask takes them, one behind the other.
constexpr std::array<Step, 5> kSteps = {{
    {"penalties", 'e',
     [](engine::SamplerOptions* sampler) {
       sampler->repeat_penalty = 1;
       sampler->presence_penalty = 0;
       sampler->frequency_penalty = 0;
     }},
    {"top_k", 'k', [](engine::SamplerOptions* sampler) { sampler->top_k = 0; }},
    {"top_p", 'p', [](engine::SamplerOptions* sampler) { sampler->top_p = 1; }},
    {"min_p", 'm', [](engine::SamplerOptions* sampler) { sampler->min_p = 0; }},
    {"temperature", 't', [](engine::SamplerOptions* sampler) { sampler->temperature = 1; }},
}};

// The places in kSteps of the steps that are asked for, in the order of the list; nothing for what is no list of steps.
std::optional<std::string> PlacesOf(const Json& samplers) {
  if (!samplers.is_string() && !samplers.is_array()) return std::nullopt;
  std::string places;
  const auto add = [&](auto matches) {
    for (size_t place = 0; place < kSteps.size(); ++place) {
      if (matches(kSteps[place])) places += static_cast<char>(place);
    }
  };
  if (samplers.is_string()) {
    for (const char c : samplers.get_ref<const std::string&>()) add([c](const Step& step) { return step.letter == c; });
  } else {
    for (const Json& item : samplers) {
      if (!item.is_string()) continue;
      add([&name = item.get_ref<const std::string&>()](const Step& step) { return step.name == name; });
    }
  }
  return places;
}

bool IsAscending(std::string_view places) {
  for (size_t i = 1; i < places.size(); ++i) {
    if (places[i - 1] >= places[i]) return false;
  }
  return true;
}

}  // namespace

void ReadSamplers(FieldReader* fields, engine::SamplerOptions* sampler) {
  const Json* samplers = fields->Any("samplers");
  if (samplers == nullptr) return;
  const std::optional<std::string> places = PlacesOf(*samplers);
  if (!places || !IsAscending(*places)) {
    Json order = Json::array();
    for (const Step& step : kSteps) order.push_back(step.name);
    return fields->Fail(UnsupportedValue(
        "samplers",
        fmt::format("Unsupported value: 'samplers' is {}, but damask supports only some or all of {} in this order.",
                    ValueName(*samplers), order.dump())));
  }
  for (size_t place = 0; place < kSteps.size(); ++place) {
    if (places->find(static_cast<char>(place)) == std::string::npos) kSteps[place].turn_off(sampler);
  }
}

}  // namespace damask::server
