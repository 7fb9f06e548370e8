// Times llama.cpp, as the npm package node-llama-cpp ships it, on one GGUF file: one JSON object on stdout.
// usage: node llama_cpp.mjs FILE [--prompt 512,2048] [--gen 32] [--depth 0] [--threads 2] [--batch 512] [--flash on|off]
// Run it from the folder whose node_modules holds node-llama-cpp; compare.sh sees to that.
import fs from 'node:fs';
import {pathToFileURL} from 'node:url';
import {parseArgs} from 'node:util';

const {values: flags, positionals: [file]} = parseArgs({
  allowPositionals: true,
  options: {
    prompt: {type: 'string', default: '512,2048'},
    gen: {type: 'string', default: '32'},
    depth: {type: 'string', default: '0'},
    threads: {type: 'string', default: '2'},
    batch: {type: 'string', default: '512'},
    flash: {type: 'string', default: 'on'},
  },
});
if (!file) throw new Error('usage: node llama_cpp.mjs FILE [--prompt N,N] [--gen N] [--depth N,N] [--threads N] [--batch N] [--flash on|off]');

// The package is looked up from the working folder, not from where this script lies.
const packageFolder = `${process.cwd()}/node_modules/node-llama-cpp`;
const {getLlama} = await import(pathToFileURL(`${packageFolder}/dist/index.js`).href);
const {version} = JSON.parse(fs.readFileSync(`${packageFolder}/package.json`, 'utf8'));

const list = text => text.split(',').filter(Boolean).map(Number);
const prompts = list(flags.prompt);
const depths = list(flags.depth);
const gen = Number(flags.gen);
const threads = Number(flags.threads);

const llama = await getLlama({gpu: false, build: 'never', maxThreads: threads, logLevel: 'error'});
const model = await llama.loadModel({modelPath: file, gpuLayers: 0});
const vocab = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
const contextSize = Math.max(...prompts, ...depths, 0) + gen + 64;
const context = await model.createContext({contextSize, batchSize: Number(flags.batch), threads, flashAttention: flags.flash === 'on'});
const sequence = context.getSequence();
// Any ids do: random weights do not care, and the fixed ones of a vocabulary lie below 300.
const tokens = count => Array.from({length: count}, (_, i) => 300 + (i * 7919 + 13) % (vocab - 300));

async function seconds(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

async function generate(count) {
  let done = 0;
  for await (const token of sequence.evaluate([300], {temperature: 0, yieldEogToken: true})) {
    if (++done >= count) break;
  }
}

await sequence.evaluateWithoutGeneratingNewTokens(tokens(64));
await generate(2);

const prefill = [];
const decode = [];

async function measureDecode(depth) {
  const time = await seconds(() => generate(gen));
  decode.push({depth, tokens_per_s: gen / time});
}

const read = count => sequence.evaluateWithoutGeneratingNewTokens(tokens(count));
for (const count of prompts) {
  await sequence.clearHistory();
  const time = await seconds(() => read(count));
  prefill.push({tokens: count, seconds: time, tokens_per_s: count / time});
  // Reading a long prompt takes minutes: a depth of the same length goes on from it.
  if (gen > 0 && depths.includes(count)) await measureDecode(count);
}
for (const depth of depths) {
  if (gen === 0 || prompts.includes(depth)) continue;
  await sequence.clearHistory();
  if (depth > 0) await read(depth);
  await measureDecode(depth);
}
console.log(JSON.stringify({engine: `llama.cpp (node-llama-cpp ${version})`, threads, batch: Number(flags.batch), flash: flags.flash, prefill, decode}));
process.exit(0);
