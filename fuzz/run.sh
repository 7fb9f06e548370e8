#!/bin/sh
# Runs every fuzz target that is built for SECONDS each, beginning with tests/corpus/NAME, and fails if one of them finds
# something. What it finds lies in the build folder as NAME-crash-*, NAME-oom-* or NAME-timeout-*: mend the parser and put the file
# into tests/corpus/NAME, where the tests read it from then on.
#   fuzz/run.sh SECONDS [BUILD_FOLDER]    default: build/fuzz
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
seconds=${1:?usage: fuzz/run.sh SECONDS [BUILD_FOLDER]}
build=$(cd "${2:-$root/build/fuzz}" && pwd) || exit 2
status=0
found=0
for target in "$build"/fuzz/*_fuzz; do
  [ -x "$target" ] || continue
  found=1
  name=$(basename "$target" _fuzz)
  # New inputs go to a folder of the build, so that a run never changes the repository.
  work="$build/fuzz/corpus-$name"
  mkdir -p "$work"
  echo "== $name, $seconds s"
  log="$build/fuzz/$name.log"
  if "$target" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$build/fuzz/$name-" "$work" "$root/tests/corpus/$name" >"$log" 2>&1; then
    grep -E "stat::(number_of_executed_units|peak_rss_mb)" "$log"
  else
    tail -n 60 "$log"
    echo "== $name FAILED"
    status=1
  fi
done
if [ "$found" = 0 ]; then
  echo "no fuzz target is built in $build: cmake --preset fuzz && cmake --build --preset fuzz" >&2
  exit 2
fi
exit $status
