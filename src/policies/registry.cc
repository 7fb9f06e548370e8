#include "policies/registry.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/nearest.h"
#include "base/text.h"
#include "policies/a_shape.h"
#include "policies/citrus.h"
#include "policies/dam.h"
#include "policies/duo.h"
#include "policies/flexprefill.h"
#include "policies/full.h"
#include "policies/h2o.h"
#include "policies/hip.h"
#include "policies/infllm2.h"
#include "policies/masformer.h"
#include "policies/psa.h"
#include "policies/pyramidkv.h"
#include "policies/quest.h"
#include "policies/snapkv.h"
#include "policies/spans.h"
#include "policies/streaming.h"
#include "policies/tca.h"
#include "policies/vertical_slash.h"
#include "policies/xattention.h"

namespace damask::policies {
namespace {

struct Registration {
  PolicyInfo info;
  Result<std::unique_ptr<Policy>> (*make)(const Options& options, const ModelShape& shape);
};

const std::vector<Registration>& Registrations() {
  static const std::vector<Registration> registrations = {
      {FullInfo(), MakeFull},
      {DamInfo(), MakeDam},
      {StreamingInfo(), MakeStreaming},
      {AShapeInfo(), MakeAShape},
      {SpansInfo(), MakeSpans},
      {H2oInfo(), MakeH2o},
      {VerticalSlashInfo(), MakeVerticalSlash},
      {QuestInfo(), MakeQuest},
      {Infllm2Info(), MakeInfllm2},
      {HipInfo(), MakeHip},
      {XattentionInfo(), MakeXattention},
      {PsaInfo(), MakePsa},
      {FlexprefillInfo(), MakeFlexprefill},
      {DuoInfo(), MakeDuo},
      {MasformerInfo(), MakeMasformer},
      {SnapKvInfo(), MakeSnapKv},
      {PyramidKvInfo(), MakePyramidKv},
      {TcaInfo(), MakeTca},
      {CitrusInfo(), MakeCitrus},
  };
  return registrations;
}

bool HasName(const PolicyInfo& info, std::string_view name) {
  return info.name == name || std::find(info.aliases.begin(), info.aliases.end(), name) != info.aliases.end();
}

}  // namespace

const std::vector<PolicyInfo>& AllPolicies() {
  static const std::vector<PolicyInfo> infos = [] {
    std::vector<PolicyInfo> all;
    for (const Registration& registration : Registrations()) all.push_back(registration.info);
    return all;
  }();
  return infos;
}

const PolicyInfo* FindPolicy(std::string_view name) {
  for (const PolicyInfo& info : AllPolicies()) {
    if (HasName(info, name)) return &info;
  }
  return nullptr;
}

const PolicyInfo* PolicyOfSpec(std::string_view spec) { return FindPolicy(spec.substr(0, spec.find(':'))); }

Result<std::unique_ptr<Policy>> Create(std::string_view spec, const ModelShape& shape) {
  const size_t colon = spec.find(':');
  const std::string_view name = spec.substr(0, colon);
  const std::string_view text = colon == std::string_view::npos ? std::string_view() : spec.substr(colon + 1);
  for (const Registration& registration : Registrations()) {
    if (!HasName(registration.info, name)) continue;
    DAMASK_ASSIGN_OR_RETURN(const Options options, Options::Parse(registration.info.name, text, registration.info.options));
    return registration.make(options, shape);
  }
  std::vector<std::string> names;
  for (const Registration& registration : Registrations()) {
    names.push_back(registration.info.name);
    names.insert(names.end(), registration.info.aliases.begin(), registration.info.aliases.end());
  }
  const std::string nearest = Nearest(name, names);
  return InvalidArgument(fmt::format("unknown policy {}{}; the policies are {}", Quote(name),
                                     nearest.empty() ? "" : fmt::format(" (did you mean {}?)", Quote(nearest)),
                                     fmt::join(names, ", ")));
}

}  // namespace damask::policies
