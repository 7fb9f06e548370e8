#!/usr/bin/env bash
# clang-tidy-16 by .clang-tidy over the sources (.cc) that changed, or over all.
#   tools/lint.sh [--all | --base COMMIT] [--seconds N]
# Default: what differs from origin/main where that is an ancestor of HEAD, else from the last commit older than four hours, else everything.
# A header that changed is seen through every changed source that includes it. With --seconds no new file is begun after that
# time, and the last line says how many were left out.
set -euo pipefail
cd "$(dirname "$0")/.."

base=""
all=0
seconds=0
while [ $# -gt 0 ]; do
  case "$1" in
    --all) all=1 ;;
    --base) base=$2 && shift ;;
    --seconds) seconds=$2 && shift ;;
    *) echo "usage: tools/lint.sh [--all | --base COMMIT] [--seconds N]" >&2 && exit 2 ;;
  esac
  shift
done

# The compile commands; clang-tidy knows no GCC flags that clang lacks, and needs none of the built files.
build=build/lint
cmake --preset release -B "$build" -DDAMASK_BUILD_TESTS=ON -DDAMASK_BUILD_BENCH=OFF -DDAMASK_BUILD_EXAMPLES=ON >/dev/null

if [ $all -eq 0 ] && [ -z "$base" ]; then
  head=$(git rev-parse HEAD)
  origin=$(git merge-base HEAD origin/main 2>/dev/null || true)
  # In a fresh clone origin/main is HEAD itself and says nothing.
  if [ -n "$origin" ] && [ "$origin" != "$head" ]; then
    base=$origin
  else
    base=$(git rev-list -1 --before='4 hours ago' HEAD)
  fi
fi
if [ -n "$base" ]; then
  mapfile -t files < <(git diff --name-only --diff-filter=d "$base" -- '*.cc'; git ls-files --others --exclude-standard -- '*.cc')
  echo "lint: sources changed since $(git rev-parse --short "$base")"
else
  # The newest first, so that a time limit leaves out what has stood longest.
  mapfile -t files < <(git log --name-only --diff-filter=d --format= -- '*.cc' | awk '!seen[$0]++' | while read -r file; do
    [ -f "$file" ] && echo "$file"
  done)
  echo "lint: all sources"
fi

# Only what the build compiles: fuzz targets and generated files have no compile command here.
database=$build/compile_commands.json
begin=$(date +%s)
export begin seconds build
one() {
  if [ "$seconds" -gt 0 ] && [ $(($(date +%s) - begin)) -ge "$seconds" ]; then
    echo "$1" >>"$build/lint_left_out"
    return 0
  fi
  output=$(clang-tidy-16 -p "$build" --quiet "$1" 2>&1) || {
    printf '%s\n' "$output"
    exit 255
  }
}
export -f one
rm -f "$build/lint_left_out"
known=()
for file in "${files[@]}"; do
  grep -q "\"$PWD/$file\"" "$database" && known+=("$file")
done
if [ ${#known[@]} -gt 0 ]; then
  printf '%s\0' "${known[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c 'one "$1"' _
fi
left=0
[ -f "$build/lint_left_out" ] && left=$(wc -l <"$build/lint_left_out")
echo "lint: $((${#known[@]} - left)) files clean, $left left out for time"
