#!/usr/bin/env bash
# damask against llama.cpp on the same GGUF files, in turn, in one run. Prints a markdown table.
#   bench/compare/compare.sh FILE.gguf... [--rounds 5] [--prompt 512,2048] [--gen 32] [--depth 0] [--threads 2] [--out FILE.json]
# Needs Node 20 or newer (NODE=/path/to/node) and the npm package node-llama-cpp, which it installs into build/peers (PEERS=folder for one
# that is there already). The program is build/release/damask (DAMASK=/path/to/damask). Nothing else should run meanwhile.
#
# The files of docs/benchmarks.md:
#   build/release/make_model --shape 1b --type Q8_0 -o build/1b-q8_0.gguf
#   build/release/make_model --shape 1b --type Q4_K_M -o build/1b-q4_k_m.gguf
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
node=${NODE:-node}
damask=$(realpath -m "${DAMASK:-$root/build/release/damask}")
peers=${PEERS:-$root/build/peers}
version=3.22.1

fail() {
  echo "compare.sh: $1" >&2
  exit 2
}

command -v "$node" > /dev/null || fail "no Node found; set NODE to a Node 20 or newer"
major=$("$node" -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "Node $major found, expected 20 or newer; set NODE"
[ -x "$damask" ] || fail "$damask is not there; run 'make build' or set DAMASK"
if [ ! -d "$peers/node_modules/node-llama-cpp" ]; then
  mkdir -p "$peers"
  (cd "$peers" && npm init -y > /dev/null && npm install --ignore-scripts --no-fund --no-audit "node-llama-cpp@$version")
fi

# The peer is looked up from the working folder: make the files' and the output's names absolute first.
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) arguments+=("$1" "$(realpath -m "$2")"); shift 2 ;;
    --*=*) arguments+=("$1"); shift ;;
    --*) arguments+=("$1" "$2"); shift 2 ;;
    *) arguments+=("$(realpath "$1")"); shift ;;
  esac
done
cd "$peers"
exec "$node" "$here/compare.mjs" --damask "$damask" "${arguments[@]}"
