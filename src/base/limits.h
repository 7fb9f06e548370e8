// Limits that untrusted input meets, of files, texts and models. Those of HTTP stand with what they are limits of (HttpLimits,
// the readers of requests).
#pragma once

#include <cstddef>
#include <cstdint>

namespace damask::limits {

inline constexpr uint64_t kMaxKeyBytes = 65535;                   // GGUF metadata key
inline constexpr uint64_t kMaxStringBytes = uint64_t{1} << 30;    // one GGUF string
inline constexpr uint64_t kMaxArrayElements = uint64_t{1} << 30;  // one GGUF array
inline constexpr uint64_t kMaxTensorNameBytes = 63;               // as llama.cpp
inline constexpr uint64_t kMaxTensorDims = 4;
inline constexpr uint64_t kMaxAlignment = uint64_t{1} << 20;    // general.alignment
inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;  // as the reference reader
inline constexpr uint64_t kMaxJsonFileBytes = uint64_t{256} << 20;
inline constexpr size_t kMaxJsonDepth = 128;
inline constexpr uint64_t kMaxTextFileBytes = uint64_t{1} << 31;  // a prompt or a document
inline constexpr uint64_t kMaxVocab = uint64_t{1} << 22;
inline constexpr uint64_t kMaxLayers = 1024;
inline constexpr uint64_t kMaxHeads = 1024;
inline constexpr uint64_t kMaxExperts = 1024;             // of a layer
inline constexpr uint64_t kMaxWidth = uint64_t{1} << 20;  // embedding or feed-forward width
inline constexpr uint64_t kMaxContext = uint64_t{1} << 24;
inline constexpr uint64_t kMaxSplitFiles = 1000;
inline constexpr size_t kMaxThreads = 1024;
inline constexpr size_t kMaxStopStrings = 64;         // of one request
inline constexpr uint64_t kMaxStopBytes = 1024;       // one of them
inline constexpr size_t kMaxTopLogprobs = 20;         // as OpenAI's
inline constexpr size_t kMaxChatMessages = 65536;     // of one request
inline constexpr uint64_t kMaxRequestJson = 1 << 22;  // values in the JSON of a request

}  // namespace damask::limits
