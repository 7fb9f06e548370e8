#!/usr/bin/env bash
# The main job on the embedded model: a document made on the spot, one question about a line in it, the answer checked.
#   tools/demo.sh [LINES] [SEED]      360 lines are about 8,000 tokens, half of what it was trained for; there are 400 keys
set -euo pipefail
cd "$(dirname "$0")/.."
damask=${DAMASK:-build/release/damask}
lines=${1:-360}
seed=${2:-7}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Lines as LongEval has them, keys never twice. The line that is asked for is in the first third, far from the end.
key=torpid-kid
expected=24169
awk -v lines="$lines" -v seed="$seed" -v asked="line $key: REGISTER_CONTENT is <$expected>" 'BEGIN {
  srand(seed)
  left = split("amber brisk cedar dusty eager frost golden humble ivory jolly keen lunar mellow noble olive proud quiet rustic solar tidy", a, " ")
  right = split("anchor basket candle desert engine forest garden harbor island jacket kettle ladder market needle orchard pocket river saddle temple valley", b, " ")
  while (made < lines && tries++ < 100 * lines) {
    if (made == int(lines / 4)) {
      print asked
      ++made
      continue
    }
    other = a[int(rand() * left) + 1] "-" b[int(rand() * right) + 1]
    if (other in seen) continue
    seen[other] = 1
    printf "line %s: REGISTER_CONTENT is <%05d>\n", other, 10000 + int(rand() * 90000)
    ++made
  }
}' > "$folder/document.txt"
question="What is the REGISTER_CONTENT in line $key?"
echo "A document of $(wc -l < "$folder/document.txt") lines:"
head -2 "$folder/document.txt"
echo "..."
echo "Question: $question"
# The model was trained to answer with the line itself. Once with full attention, once with the mask that `damask calibrate` made of it.
ask() {
  "$damask" generate -f "$folder/document.txt" -p "$question"$'\n' --raw --temp 0 -n 40 --stop $'\n' \
    "$@" > "$folder/answer.txt" 2> "$folder/notes.txt" || { cat "$folder/notes.txt" >&2; exit 1; }
  echo "Answer:   $(cat "$folder/answer.txt")"
  grep -v 'no -m given' "$folder/notes.txt"
  if ! grep -qFx "line $key: REGISTER_CONTENT is <$expected>" "$folder/answer.txt"; then
    echo "The line says <$expected>: wrong." >&2
    exit 1
  fi
}
echo
echo "With full attention:"
ask
echo
echo "With masks, --mask models/reference.mask:"
ask --mask models/reference.mask
echo
echo "The line says <$expected>: right, both times."
