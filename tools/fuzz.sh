#!/usr/bin/env bash
# Builds the fuzz targets with clang-16 (address and undefined-behaviour sanitizers) and runs each for some seconds from its
# corpus in tests/corpus/<name>/. An input that breaks one is left in build/fuzz/found/: fix the parser, keep the input in the corpus.
#   tools/fuzz.sh [SECONDS] [NAME...]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
cmake --preset fuzz >/dev/null
cmake --build build/fuzz -j "$(nproc)"
mkdir -p build/fuzz/found

count=0
for program in build/fuzz/fuzz/*_fuzz; do
  [ -x "$program" ] || continue
  name=$(basename "$program" _fuzz)
  [ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
  # New inputs go to the build folder; the committed corpus is only read.
  mkdir -p "build/fuzz/corpus/$name"
  corpus=("build/fuzz/corpus/$name")
  [ -d "tests/corpus/$name" ] && corpus+=("tests/corpus/$name")
  echo "fuzz: $name for $seconds s"
  "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -malloc_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="build/fuzz/found/$name-" "${corpus[@]}"
  count=$((count + 1))
done
if [ $count -eq 0 ]; then
  echo "tools/fuzz.sh: no fuzz target was built or none is named so" >&2
  exit 1
fi
echo "fuzz: $count targets clean"
