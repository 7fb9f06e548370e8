// Golden numbers of the small random-weight models: golden.json. What is in it and how to run this: README.md beside it.
// usage: node make_golden.mjs --make-model PROGRAM [--out FILE] [--search N]
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {parseArgs} from 'node:util';
import {Model, best, engine, makeModel, sixDigits, writeJson} from './llama_cpp.mjs';

const {values: flags} = parseArgs({options: {
  'make-model': {type: 'string'},
  out: {type: 'string', default: path.join(import.meta.dirname, 'golden.json')},
  search: {type: 'string'},
  only: {type: 'string'},
}});
if (!flags['make-model']) throw new Error('usage: node make_golden.mjs --make-model PROGRAM [--out FILE] [--search N]');

const kTypes = ['F32', 'BF16', 'Q8_0', 'Q4_K_M'];
// Where no architecture is in question: rows that are multiples of 256, and rows that are not (IQ4_NL instead).
const kSmallTypes = ['Q2_K', 'Q3_K_M', 'IQ4_XS'];
const kCasesOfSmallTypes = ['llama_untied', 'llama_yarn'];
const kGreedy = 32;
const kTokens = [1, ...Array.from({length: 47}, (_, i) => 259 + (i * i * 7 + i * 31 + 5) % 125)];

// Rope scaling cases have trained lengths shorter than the text, so that the scaling matters. Widths of 320 and 384 are no
// multiples of 256: their rows cannot be Q4_K and get the types that llama.cpp's quantiser falls back to.
const kCases = [
  {name: 'llama_untied', seed: 1, args: '--arch llama --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 768'},
  {name: 'llama3_tied', seed: 29, args: '--arch llama --tied --logit-scale 2.5 --layers 3 --width 256 --heads 2 --kv-heads 2 --head-dim 128 --ffn 512 --rope-base 500000 --context 512 --rope-scaling llama3 --rope-factor 8 --rope-original-context 64'},
  {name: 'llama_linear', seed: 20, args: '--arch llama --layers 3 --width 320 --heads 4 --kv-heads 1 --head-dim 80 --ffn 512 --context 256 --rope-scaling linear --rope-factor 4'},
  {name: 'llama_yarn', seed: 30, args: '--arch llama --layers 3 --width 384 --heads 4 --kv-heads 2 --head-dim 96 --ffn 768 --context 256 --rope-scaling yarn --rope-factor 8'},
  {name: 'mistral', seed: 19, args: '--arch mistral --layers 3 --width 512 --heads 4 --kv-heads 1 --head-dim 128 --ffn 512 --window 4096'},
  {name: 'mistral_window', seed: 37, window: 16, args: '--arch mistral --layers 1 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 512 --window 16'},
  {name: 'qwen2', seed: 53, args: '--arch qwen2 --layers 3 --width 256 --heads 4 --kv-heads 1 --head-dim 64 --ffn 768 --rope-base 1000000 --rms-epsilon 1e-6'},
  {name: 'phi3', seed: 13, args: '--arch phi3 --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 768'},
  {name: 'phi3_longrope', seed: 41, args: '--arch phi3 --tied --layers 3 --width 256 --heads 2 --kv-heads 1 --head-dim 128 --rope-dims 96 --ffn 512 --context 256 --rope-scaling longrope --rope-factor 8'},
  {name: 'smollm3', seed: 19, args: '--arch smollm3 --layers 4 --width 256 --heads 4 --kv-heads 1 --head-dim 64 --ffn 512 --rope-base 5000000 --rms-epsilon 1e-6'},
  {name: 'gemma3', seed: 8, args: '--arch gemma3 --layers 7 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 512 --rope-base 1000000 --rms-epsilon 1e-6 --context 256 --rope-scaling linear --rope-factor 4 --window 16'},
  {name: 'qwen3moe', seed: 35, args: '--arch qwen3moe --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 256 --experts 8 --experts-used 3 --rope-base 1000000 --rms-epsilon 1e-6'},
  {name: 'mixtral', seed: 25, args: '--arch llama --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 512 --experts 4 --experts-used 2 --rope-base 1000000'},
  {name: 'granite', seed: 36, args: '--arch granite --layers 3 --width 256 --heads 4 --kv-heads 1 --head-dim 64 --ffn 768 --rope-base 10000000 --logit-scale 32 --attention-scale 4'},
  {name: 'gpt_oss', seed: 36, types: ['F32', 'BF16', 'Q8_0', 'MXFP4_MOE'], args: '--arch gpt-oss --layers 3 --width 256 --heads 8 --kv-heads 2 --head-dim 64 --ffn 256 --experts 8 --experts-used 3 --rope-base 150000 --context 256 --rope-scaling yarn --rope-factor 8 --window 16'},
  {name: 'llama_biases', seed: 40, args: '--arch llama --biases --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 512'},
  {name: 'qwen3', seed: 19, args: '--arch qwen3 --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 128 --ffn 768 --rope-base 1000000 --rms-epsilon 1e-6'},
  {name: 'mistral3', seed: 15, args: '--arch mistral3 --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 512 --rope-base 1000000 --context 256 --rope-scaling yarn --rope-factor 16'},
  {name: 'qwen2vl', seed: 5, args: '--arch qwen2vl --layers 3 --width 256 --heads 4 --kv-heads 1 --head-dim 64 --ffn 512 --rope-base 1000000 --rms-epsilon 1e-6'},
  {name: 'qwen3vl', seed: 37, args: '--arch qwen3vl --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 512 --rope-base 5000000 --rms-epsilon 1e-6'},
  {name: 'qwen3vlmoe', seed: 35, args: '--arch qwen3vlmoe --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 256 --experts 8 --experts-used 3 --rope-base 5000000 --rms-epsilon 1e-6'},
  {name: 'seed_oss', seed: 20, args: '--arch seed_oss --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 512 --rope-base 10000000 --rms-epsilon 1e-6'},
  {name: 'ernie45', seed: 22, args: '--arch ernie4_5 --tied --layers 3 --width 256 --heads 4 --kv-heads 1 --head-dim 64 --ffn 512 --rope-base 500000 --logit-scale 2.5'},
  {name: 'ernie45_moe', seed: 25, args: '--arch ernie4_5-moe --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --ffn 256 --experts 8 --experts-used 3 --rope-base 500000'},
  {name: 'glm4', seed: 2, args: '--arch glm4 --layers 3 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --rope-dims 32 --ffn 512'},
  {name: 'glm4moe', seed: 9, args: '--arch glm4moe --guessing-layers 1 --layers 4 --width 256 --heads 4 --kv-heads 2 --head-dim 64 --rope-dims 32 --ffn 256 --experts 8 --experts-used 3 --rope-base 1000000'},
  {name: 'olmo2', seed: 36, args: '--arch olmo2 --layers 3 --width 256 --heads 4 --kv-heads 4 --head-dim 64 --ffn 512 --rope-base 500000 --rms-epsilon 1e-6'},
  {name: 'olmo3', seed: 8, args: '--arch olmo2 --layers 5 --width 256 --heads 4 --kv-heads 4 --head-dim 64 --ffn 512 --rope-base 500000 --rms-epsilon 1e-6 --window 16 --context 256 --rope-scaling yarn --rope-factor 8'},
];

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'golden-'));
process.on('exit', () => fs.rmSync(folder, {recursive: true, force: true}));

const modelArgs = (entry, seed) => [...entry.args.split(' '), '--vocab', '384', '--seed', String(seed)];

async function open(entry, seed, type) {
  const file = path.join(folder, `${entry.name}-${type}.gguf`);
  makeModel(flags['make-model'], [...modelArgs(entry, seed), '--type', type], file);
  return Model.load(file, 256);
}

// llama.cpp ignores the window of a mistral file. With one layer, rotated positions being relative, a window of W is the same as
// reading the last W tokens alone.
const seen = (entry, tokens) => entry.window ? tokens.slice(-entry.window) : tokens;

async function greedy(entry, model, enough = 0) {
  const tokens = [...kTokens];
  let smallest = Infinity;
  while (tokens.length < kTokens.length + kGreedy && smallest > enough) {
    const {id, margin} = best(await model.logProbs(seen(entry, tokens)));
    smallest = Math.min(smallest, margin);
    tokens.push(id);
  }
  return {ids: tokens.slice(kTokens.length), smallest_margin: smallest};
}

// Finds the seed among the first N whose greedy path has the widest smallest margin and at least 16 different ids.
async function search(entry, count) {
  let found = {margin: 0};
  for (let seed = 1; seed <= count; ++seed) {
    const model = await open(entry, seed, 'F32');
    const {ids, smallest_margin: margin} = await greedy(entry, model, found.margin);
    await model.close();
    if (margin > found.margin && new Set(ids).size >= 16) found = {seed, margin, different: new Set(ids).size};
  }
  console.log(entry.name, JSON.stringify(found));
}

async function measure(entry) {
  const out = {name: entry.name, make_model: modelArgs(entry, entry.seed), reference_tokens: seen(entry, kTokens).length, log_probs: {}};
  for (const type of entry.types ?? (kCasesOfSmallTypes.includes(entry.name) ? [...kTypes, ...kSmallTypes] : kTypes)) {
    const model = await open(entry, entry.seed, type);
    out.log_probs[type] = sixDigits(await model.logProbs(seen(entry, kTokens)));
    if (type === 'F32') out.greedy = await greedy(entry, model);
    await model.close();
  }
  out.greedy.smallest_margin = Number(out.greedy.smallest_margin.toPrecision(3));
  console.log(entry.name, 'smallest margin', out.greedy.smallest_margin, 'different ids', new Set(out.greedy.ids).size);
  return out;
}

const cases = kCases.filter(entry => !flags.only || flags.only.split(',').includes(entry.name));
if (flags.search) {
  for (const entry of cases) await search(entry, Number(flags.search));
} else {
  const results = [];
  for (const entry of cases) results.push(await measure(entry));
  writeJson(flags.out, {engine, types: kTypes, tokens: kTokens, cases: results});
}
process.exit(0);
