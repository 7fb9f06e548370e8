#!/usr/bin/env bash
# The main job on the embedded model: a document made on the spot, one question about a line in it, the answer checked.
#   tools/demo.sh [LINES] [SEED]      180 lines are about 3,700 tokens
set -euo pipefail
cd "$(dirname "$0")/.."
damask=${DAMASK:-build/release/damask}
lines=${1:-180}
seed=${2:-7}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Lines as LongEval has them, keys never twice; then the question about one of the first third, far from the end.
awk -v lines="$lines" -v seed="$seed" -v folder="$folder" 'BEGIN {
  srand(seed)
  left = split("amber brisk cedar dusty eager frost golden humble ivory jolly keen lunar mellow noble olive proud quiet rustic solar tidy", a, " ")
  right = split("anchor basket candle desert engine forest garden harbor island jacket kettle ladder market needle orchard pocket river saddle temple valley", b, " ")
  while (made < lines && tries++ < 100 * lines) {
    key = a[int(rand() * left) + 1] "-" b[int(rand() * right) + 1]
    if (key in value) continue
    value[key] = sprintf("%05d", int(rand() * 100000))
    keys[++made] = key
    printf "line %s: REGISTER_CONTENT is <%s>\n", key, value[key] > (folder "/document.txt")
  }
  key = keys[int(made / 4) + 1]
  printf "%s", key > (folder "/key.txt")
  printf "%s", value[key] > (folder "/expected.txt")
}'
key=$(cat "$folder/key.txt")
question="What is the REGISTER_CONTENT in line $key?"
expected=$(cat "$folder/expected.txt")
echo "A document of $(wc -l < "$folder/document.txt") lines:"
head -2 "$folder/document.txt"
echo "..."
echo "Question: $question"
# The model was trained to answer with the line itself; its beginning is given, the number is the model's.
start="line $key: REGISTER_CONTENT is <"
printf 'Answer:   %s' "$start"
"$damask" generate -f "$folder/document.txt" -p "$question"$'\n'"$start" --raw --temp 0 -n 12 --stop $'\n' \
  2> "$folder/notes.txt" | tee "$folder/answer.txt" || { cat "$folder/notes.txt" >&2; exit 1; }
tail -n 1 "$folder/notes.txt"
if grep -q "^$expected>" "$folder/answer.txt"; then
  echo "The line says <$expected>: right."
else
  echo "The line says <$expected>: wrong." >&2
  exit 1
fi
