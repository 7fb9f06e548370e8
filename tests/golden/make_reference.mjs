// Golden numbers of the embedded reference model: reference.json. What is in it and how to run this: README.md beside it.
// usage: node make_reference.mjs [--model models/reference.gguf] [--out FILE]
import path from 'node:path';
import {parseArgs} from 'node:util';
import {Model, best, engine, writeJson} from './llama_cpp.mjs';

const {values: flags} = parseArgs({options: {
  model: {type: 'string', default: path.join(import.meta.dirname, '../../models/reference.gguf')},
  out: {type: 'string', default: path.join(import.meta.dirname, 'reference.json')},
}});

const kGreedy = 16;
const kLeft = 'amber brisk cedar dusty eager frost golden humble ivory jolly keen lunar mellow noble olive proud quiet rustic solar tidy'.split(' ');
const kRight = 'anchor basket candle desert engine forest garden harbor island jacket kettle ladder market needle orchard pocket river saddle temple valley'.split(' ');
const kProse = 'It was late when the two of them came down to the water. The boat lay where they had left it, and nobody had been there since the morning. ' +
  'He looked for a while at the other side, then he said that they should wait until the wind went down.\n' +
  'The package manager reads the list of packages from the file and';

// A generator of its own, so that the prompts never depend on a library: x -> (1664525 x + 1013904223) mod 2^32, the high bits used.
function randomNumbers(seed) {
  let state = seed >>> 0;
  return limit => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * limit);
  };
}

// Lines with keys that are never twice, then the question about the line at `place` (0 to 1 of the document) and the beginning of
// the answer, so that the number comes first.
function linesPrompt(lines, place, seed) {
  const random = randomNumbers(seed);
  const values = new Map();
  while (values.size < lines) {
    const key = `${kLeft[random(kLeft.length)]}-${kRight[random(kRight.length)]}`;
    const value = String(10000 + random(90000));
    if (!values.has(key)) values.set(key, value);
  }
  const document = [...values].map(([key, value]) => `line ${key}: REGISTER_CONTENT is <${value}>\n`).join('');
  const [key, value] = [...values][Math.floor(place * lines)];
  return {text: `${document}What is the REGISTER_CONTENT in line ${key}?\nline ${key}: REGISTER_CONTENT is <`, answer: value};
}

const kPrompts = [
  {name: 'lines_10', ...linesPrompt(10, 0.3, 8)},
  {name: 'lines_40', ...linesPrompt(40, 0.25, 11)},
  {name: 'lines_120', ...linesPrompt(120, 0.6, 7)},
  {name: 'prose', text: kProse, answer: ''},
];

const model = await Model.load(flags.model, 4096);

// Greedy ids after the prompt, and by how much the second choice was ever behind.
async function greedy(tokens) {
  const ids = [];
  let smallest = Infinity;
  let next = tokens;
  await model.sequence.clearHistory();
  while (ids.length < kGreedy) {
    const {id, margin} = best(await model.continueLogProbs(next));
    smallest = Math.min(smallest, margin);
    ids.push(id);
    next = [id];
  }
  return {ids, smallest_margin: Number(smallest.toPrecision(3)), text: model.model.detokenize(ids, true, tokens)};
}

// Mean negative log-probability, in nats, of every token but the first, each given all before it.
async function meanNll(tokens) {
  await model.sequence.clearHistory();
  const asked = tokens.slice(0, -1).map(token => [token, {generateNext: {probabilities: true}}]);
  const results = await model.sequence.controlledEvaluate(asked);
  let sum = 0;
  results.forEach((result, i) => { sum -= Math.log(result.next.probabilities.get(tokens[i + 1])); });
  return sum / (tokens.length - 1);
}

const prompts = [];
for (const {name, text, answer} of kPrompts) {
  const tokens = [1, ...model.model.tokenize(text, false)];
  const out = {name, text, tokens, answer, greedy: await greedy(tokens)};
  const nll = await meanNll(tokens);
  out.nll = Number(nll.toPrecision(6));
  out.perplexity = Number(Math.exp(nll).toPrecision(6));
  console.log(name, tokens.length, 'tokens', JSON.stringify(out.greedy.text), 'expected', answer, 'margin', out.greedy.smallest_margin, 'perplexity', out.perplexity);
  prompts.push(out);
}
writeJson(flags.out, {engine, prompts});
process.exit(0);
