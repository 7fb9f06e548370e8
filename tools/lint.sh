#!/usr/bin/env bash
# clang-tidy-16 by .clang-tidy over the sources (.cc) that changed, or over all.
#   tools/lint.sh [--all | --base COMMIT] [--seconds N]
# Default: what differs from where HEAD left origin/main; in a fresh clone, where they are the same, what the last 10 commits changed.
# A header that changed is seen through a changed source that includes it, else through one other that does. What was changed
# last comes first: with --seconds no new file is begun after that time, and those left out are counted and named at the end.
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
if [ -n "$base" ] && ! git rev-parse --quiet --verify "$base^{commit}" >/dev/null; then
  echo "lint: '$base' is no commit here" >&2 && exit 2
fi

# The compile commands; clang-tidy knows no GCC flags that clang lacks, and needs none of the built files.
build=build/lint
cmake --preset release -B "$build" -DDAMASK_BUILD_TESTS=ON -DDAMASK_BUILD_BENCH=OFF -DDAMASK_BUILD_EXAMPLES=ON >/dev/null
database=$build/compile_commands.json

# Nothing where the history is shorter than that: then everything is new.
default_base() {
  local origin
  origin=$(git merge-base HEAD origin/main 2>/dev/null || true)
  [ "$origin" != "$(git rev-parse HEAD)" ] || origin=""
  echo "${origin:-$(git rev-list -1 --skip=10 HEAD)}"
}

# What is there of the files that changed since $1 (nothing: ever), the last change first.
changed() {
  {
    git diff --name-only HEAD -- '*.cc' '*.h'
    git ls-files --others --exclude-standard -- '*.cc' '*.h'
    git log --name-only --format= "${1:+$1..}HEAD" -- '*.cc' '*.h'
  } | awk 'NF && !seen[$0]++' | while read -r file; do
    [ ! -f "$file" ] || echo "$file"
  done
}

# Fuzz targets and generated files have no compile command here.
is_known() { grep -qF "\"$PWD/$1\"" "$database"; }

# Files of the kind $2 that include the header $1.
includers() { git grep -lF --untracked "\"$(sed -E 's#^(src|include)/##' <<<"$1")\"" -- "$2" || true; }

# A source that includes the header $1: its own, any other, or one that does by way of at most $2 more headers.
source_of() {
  local file
  for file in "${1%.h}.cc" $(includers "$1" '*.cc'); do
    [ ! -f "$file" ] || ! is_known "$file" || { echo "$file" && return 0; }
  done
  [ "$2" -gt 0 ] || return 1
  for file in $(includers "$1" '*.h'); do
    source_of "$file" $(($2 - 1)) && return 0
  done
  return 1
}

if [ $all -eq 0 ] && [ -z "$base" ]; then base=$(default_base); fi
echo "lint: $([ -n "$base" ] && echo "what changed since $(git rev-parse --short "$base")" || echo "all sources")"

files=()
unknown=()
all_changed=$(changed "$base")
while read -r file; do
  source=$file
  if [[ $file == *.h ]]; then
    # Of all sources every header is seen through some.
    [ -n "$base" ] || continue
    mine=$(comm -12 <(includers "$file" '*.cc' | sort) <(sort <<<"$all_changed") | head -1)
    if [ -n "$mine" ] && is_known "$mine"; then continue; fi
    source=$(source_of "$file" 3) || source=""
  fi
  if [ -z "$source" ] || ! is_known "$source"; then
    unknown+=("$file")
  elif ! printf '%s\n' ${files[@]+"${files[@]}"} | grep -qxF "$source"; then
    files+=("$source")
  fi
done < <([ -z "$all_changed" ] || echo "$all_changed")

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
: >"$build/lint_left_out"
if [ ${#files[@]} -gt 0 ]; then
  printf '%s\0' "${files[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c 'one "$1"' _
fi
left=$(wc -l <"$build/lint_left_out")
echo "lint: $((${#files[@]} - left)) of ${#files[@]} sources clean"
[ ${#unknown[@]} -eq 0 ] || printf '%s\n' "lint: ${#unknown[@]} not looked at, they have no compile command:" "${unknown[@]/#/  }"
[ "$left" -eq 0 ] || { echo "lint: $left LEFT OUT, $seconds s were over:" && sed 's/^/  /' "$build/lint_left_out"; }
