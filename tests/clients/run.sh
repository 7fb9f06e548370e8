#!/usr/bin/env bash
# Clients against running servers: the openai package, and the page in headless Chromium.
#   tests/clients/run.sh [PROGRAM] [MAKE_MODEL]      default: those of build/release
# DAMASK_SHOTS=FOLDER keeps screenshots of the page; CHROMIUM names the browser's program.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
program=$(realpath "${1:-$root/build/release/damask}")
make_model=$(realpath "${2:-$(dirname "$program")/make_model}")
cd "$root/tests/clients"
unset DAMASK_API_KEY  # the servers would ask for it
[[ -d node_modules ]] || npm ci --no-audit --no-fund

folder=$(mktemp -d)
servers=()
finish() {
  for server in "${servers[@]}"; do kill "$server" 2> /dev/null || true; done
  wait
  rm -rf "$folder"
}
trap finish EXIT

# start NAME ARGS...: a server on a free port, its address in $url once it answers.
start() {
  local notes=$folder/$1.txt
  : > "$notes"  # the server may be slow to open it
  "$program" serve --port 0 "${@:2}" 2> "$notes" &
  servers+=($!)
  for ((tenths = 0; tenths < 600; ++tenths)); do
    url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$notes")
    if [[ -n $url ]] && curl -sf "$url/health" > /dev/null; then return; fi
    kill -0 "${servers[-1]}" 2> /dev/null || break
    sleep 0.1
  done
  echo "The server '$1' does not answer:" >&2
  cat "$notes" >&2
  exit 1
}

"$make_model" --hf "$folder/chat" --context 16384 --layers 8 --width 512 --ffn 1536 > /dev/null
node chat_model.mjs "$folder/chat"

start plain -c 4096 --mask "$root/models/reference.mask"
export DAMASK_URL=$url
start chat -m "$folder/chat" --parallel 1 --queue 1
export DAMASK_CHAT_URL=$url
start keyed --api-key clients-test-key
export DAMASK_KEYED_URL=$url DAMASK_KEYED_KEY=clients-test-key

# One file after the other: they share the servers.
for file in openai page page_states; do node --test "$file.test.mjs"; done
