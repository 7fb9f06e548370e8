#!/usr/bin/env bash
# clang-format-16 over all C++ sources of the repository, by .clang-format.
#   tools/format.sh            rewrites them
#   tools/format.sh --check    changes nothing, fails where one is not formatted
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t files < <(git ls-files --cached --others --exclude-standard -- '*.cc' '*.h' | while read -r file; do
  [ -f "$file" ] && echo "$file"
done)
mode=(-i)
[ "${1:-}" = --check ] && mode=(--dry-run -Werror)
printf '%s\n' "${files[@]}" | xargs -P "$(nproc)" -n 16 clang-format-16 "${mode[@]}"
echo "format: ${#files[@]} files"
