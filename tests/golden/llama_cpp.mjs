// What the golden scripts need of llama.cpp (npm package node-llama-cpp, found in the working folder's node_modules).
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {pathToFileURL} from 'node:url';

const packageFolder = `${process.cwd()}/node_modules/node-llama-cpp`;
const {getLlama} = await import(pathToFileURL(`${packageFolder}/dist/index.js`).href);
const {version} = JSON.parse(fs.readFileSync(`${packageFolder}/package.json`, 'utf8'));
const {release} = JSON.parse(fs.readFileSync(`${packageFolder}/llama/binariesGithubRelease.json`, 'utf8'));
export const engine = `llama.cpp ${release} of node-llama-cpp ${version}, CPU`;

const llama = await getLlama({gpu: false, build: 'never', maxThreads: 1, logLevel: 'error'});

// A loaded model with one sequence. Keys and values are cached as F32 and flash attention is off: what is compared then is the
// arithmetic of the weights' type, not of llama.cpp's cache.
export class Model {
  static async load(file, contextSize) {
    const self = new Model();
    self.model = await llama.loadModel({modelPath: file, gpuLayers: 0});
    self.context = await self.model.createContext({
      contextSize, batchSize: 512, threads: 1, flashAttention: false,
      experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32',
    });
    self.sequence = self.context.getSequence();
    return self;
  }

  // Log-probabilities of the token after `tokens`, by id. The sequence starts from nothing.
  async logProbs(tokens) {
    await this.sequence.clearHistory();
    return this.continueLogProbs(tokens);
  }

  // The same, with `tokens` following what the sequence already holds.
  async continueLogProbs(tokens) {
    const unfiltered = {temperature: 1, topK: 0, topP: 1, minP: 0, yieldEogToken: true};
    const out = [];
    for await (const item of this.sequence.evaluateWithMetadata(tokens, {probabilities: true}, unfiltered)) {
      for (const [id, p] of item.probabilities) out[id] = Math.log(Math.max(p, 1e-37));
      break;
    }
    return out;
  }

  async close() {
    await this.context.dispose();
    await this.model.dispose();
  }
}

// The likeliest id and how far the second one is behind, in nats.
export function best(logProbs) {
  let [id, first, second] = [-1, -Infinity, -Infinity];
  logProbs.forEach((value, i) => {
    if (value > first) [id, first, second] = [i, value, first];
    else if (value > second) second = value;
  });
  return {id, margin: first - second};
}

export function makeModel(program, args, file) {
  execFileSync(program, [...args, '-o', file], {stdio: ['ignore', 'ignore', 'inherit']});
}

export const sixDigits = numbers => numbers.map(x => Number(x.toPrecision(6)));

// JSON with arrays of plain values on one line each.
export function writeJson(file, value) {
  const arrays = [];
  const marked = JSON.stringify(value, (key, item) => {
    if (!Array.isArray(item) || item.some(x => typeof x === 'object')) return item;
    arrays.push(JSON.stringify(item));
    return `@array${arrays.length - 1}@`;
  }, 1);
  fs.writeFileSync(file, marked.replace(/"@array(\d+)@"/g, (_, i) => arrays[i]) + '\n');
}
