// Do damask and llama.cpp continue the prompts of prompts.py alike, greedily, 16 tokens each?
// usage, in a folder where `npm i --ignore-scripts node-llama-cpp@3.22.1` was run:
//   node .../compare_llama_cpp.mjs DAMASK MODEL.gguf PROMPTS.json
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {pathToFileURL} from 'node:url';

const [damask, modelPath, promptsPath] = process.argv.slice(2);
const kTokens = 16;
const {getLlama} = await import(pathToFileURL(`${process.cwd()}/node_modules/node-llama-cpp/dist/index.js`).href);
const llama = await getLlama({gpu: false, build: 'never', maxThreads: 1, logLevel: 'error'});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const context = await model.createContext({contextSize: 4096, batchSize: 512, threads: 1, flashAttention: false});
const sequence = context.getSequence();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'compare-'));

async function continueInLlamaCpp(text) {
  await sequence.clearHistory();
  const prompt = [1, ...model.tokenize(text, false)];
  const ids = [];
  for await (const id of sequence.evaluate(prompt, {temperature: 0})) {
    ids.push(id);
    if (ids.length >= kTokens) break;
  }
  return model.detokenize(ids, true, prompt);
}

function continueInDamask(text) {
  const file = path.join(folder, 'prompt.txt');
  fs.writeFileSync(file, text);
  const flags = ['generate', '-m', modelPath, '-f', file, '--raw', '--temp', '0', '-n', String(kTokens), '--json', '--quiet'];
  return JSON.parse(execFileSync(damask, flags, {encoding: 'utf8'})).text;
}

const prompts = JSON.parse(fs.readFileSync(promptsPath, 'utf8'));
let same = 0;
let right = 0;
for (const {text, value} of prompts) {
  const [theirs, ours] = [await continueInLlamaCpp(text), continueInDamask(text)];
  if (ours === theirs) same++;
  else console.log('different:', JSON.stringify(ours), JSON.stringify(theirs));
  if (value && ours.trimStart().startsWith(value)) right++;
}
fs.rmSync(folder, {recursive: true});
console.log(`${same} of ${prompts.length} continuations alike; ${right} of ${prompts.filter(p => p.value).length} values right`);
process.exit(0);
