#include "texts/words.h"

#include <algorithm>
#include <array>

namespace damask::texts {
namespace {

constexpr std::array<std::string_view, kWordsPerHalf> kFirst = {
    "able",   "acid",   "aged",   "airy",   "alive",  "aloof",  "ample",  "angry",  "apt",    "arid",   "awake",  "aware",
    "azure",  "bad",    "bald",   "big",    "blank",  "blunt",  "bright", "brisk",  "calm",   "candid", "cheap",  "clean",
    "clear",  "clever", "close",  "cold",   "cosy",   "crude",  "curly",  "daily",  "damp",   "dear",   "deep",   "dense",
    "dim",    "dizzy",  "double", "dry",    "dual",   "dull",   "early",  "easy",   "elder",  "empty",  "exact",  "extra",
    "faint",  "fair",   "fancy",  "fast",   "fine",   "fit",    "flat",   "fluid",  "fond",   "formal", "frail",  "free",
    "fresh",  "frosty", "full",   "gentle", "giant",  "global", "golden", "good",   "grand",  "gray",   "great",  "greedy",
    "green",  "grim",   "gross",  "happy",  "harsh",  "hidden", "high",   "hollow", "hot",    "humble", "humid",  "icy",
    "idle",   "ill",    "joint",  "jolly",  "kind",   "large",  "last",   "lazy",   "lean",   "light",  "local",  "long",
    "loud",   "lovely", "lucky",  "mellow", "merry",  "mild",   "minor",  "mixed",  "modest", "moist",  "narrow", "nasty",
    "native", "neat",   "next",   "noble",  "noisy",  "normal", "odd",    "oily",   "old",    "open",   "outer",  "pale",
    "plain",  "polite", "prime",  "proud",  "public", "purple", "quick",  "quiet",  "raw",    "ready",  "real",   "recent",
    "red",    "remote", "rich",   "rigid",  "ripe",   "robust", "rough",  "round",  "rural",  "rusty",  "sad",    "safe",
    "sandy",  "secret", "serene", "shaky",  "sharp",  "short",  "shy",    "silver", "simple", "slim",   "smart",  "smooth",
    "sober",  "soft",   "solar",  "solid",  "sour",   "spare",  "stable", "stark",  "steep",  "stiff",  "stormy", "strict",
    "strong", "sturdy", "sunny",  "super",  "sweet",  "swift",  "tall",   "tame",   "tart",   "thick",  "thin",   "tidy",
    "tired",  "tough",  "tragic", "true",   "twin",   "upper",  "useful", "vast",   "warm",   "wary",   "weary",  "wet",
    "white",  "wide",   "wild",   "windy",  "woody",  "worthy", "yellow", "young",
};

constexpr std::array<std::string_view, kWordsPerHalf> kSecond = {
    "actor",  "album",  "alley",  "anchor", "angel",  "ankle",  "apple",  "apron",  "arch",   "arena",  "army",   "arrow",
    "artist", "aunt",   "banana", "band",   "bank",   "basket", "bath",   "beach",  "beard",  "beast",  "bee",    "belt",
    "bench",  "blade",  "body",   "bone",   "border", "bottle", "box",    "boy",    "branch", "brass",  "bread",  "brick",
    "bridge", "bucket", "bug",    "button", "cabin",  "cable",  "cake",   "camp",   "canal",  "canyon", "cape",   "carpet",
    "cart",   "cave",   "cedar",  "cellar", "chain",  "chair",  "chalk",  "cheese", "chest",  "chin",   "circle", "city",
    "clay",   "clock",  "cloth",  "cloud",  "clover", "coal",   "coast",  "coat",   "coffee", "collar", "copper", "corn",
    "corner", "cotton", "cow",    "crane",  "crow",   "crown",  "cup",    "desk",   "donkey", "door",   "dragon", "dream",
    "dress",  "duck",   "eagle",  "ear",    "earth",  "elbow",  "engine", "eye",    "face",   "falcon", "family", "ferry",
    "field",  "finger", "flag",   "flock",  "floor",  "flower", "fly",    "fog",    "forest", "fork",   "fox",    "friend",
    "frog",   "fruit",  "gate",   "ghost",  "glass",  "glove",  "grain",  "grape",  "grass",  "grove",  "hair",   "hall",
    "hand",   "harbor", "hawk",   "helmet", "hen",    "hill",   "honey",  "hood",   "hook",   "house",  "island", "jacket",
    "jar",    "judge",  "juice",  "jungle", "kettle", "knee",   "ladder", "lady",   "lake",   "lamp",   "lawyer", "leaf",
    "lemon",  "letter", "lion",   "lizard", "lock",   "lunch",  "magnet", "map",    "maple",  "market", "melon",  "milk",
    "mill",   "moon",   "moose",  "moss",   "mother", "mouse",  "nail",   "nose",   "ocean",  "olive",  "onion",  "orange",
    "oven",   "owl",    "paddle", "palace", "palm",   "paper",  "parrot", "path",   "peach",  "pear",   "pebble", "pepper",
    "pier",   "pilot",  "pirate", "plate",  "pocket", "pond",   "pony",   "prince", "puppy",  "rabbit", "radio",  "rail",
    "ranch",  "raven",  "rice",   "river",  "robot",  "roof",   "room",   "rope",
};

}  // namespace

std::span<const std::string_view, kWordsPerHalf> FirstWords() { return kFirst; }

std::span<const std::string_view, kWordsPerHalf> SecondWords() { return kSecond; }

bool IsEvaluationWord(std::string_view word) {
  return std::binary_search(kFirst.begin(), kFirst.end(), word) || std::binary_search(kSecond.begin(), kSecond.end(), word);
}

}  // namespace damask::texts
