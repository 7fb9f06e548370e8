// damask and llama.cpp in turn on the same files: medians over rounds, a markdown table on stdout, JSON with --out.
// Started by compare.sh, which see; the working folder holds node_modules.
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {parseArgs} from 'node:util';

const {values: flags, positionals: files} = parseArgs({
  allowPositionals: true,
  options: {
    damask: {type: 'string'},
    rounds: {type: 'string', default: '5'},
    prompt: {type: 'string', default: '512,2048'},
    gen: {type: 'string', default: '32'},
    depth: {type: 'string', default: '0'},
    threads: {type: 'string', default: '2'},
    batch: {type: 'string', default: '512'},
    out: {type: 'string'},
  },
});
if (!flags.damask || files.length === 0) {
  throw new Error('usage: compare.sh FILE.gguf... [--rounds 5] [--prompt N,N] [--gen N] [--depth N,N] [--threads N] [--batch N] [--out FILE.json]');
}
const rounds = Number(flags.rounds);
const shape = ['--prompt', flags.prompt, '--gen', flags.gen, '--depth', flags.depth];
const peer = path.join(import.meta.dirname, 'llama_cpp.mjs');

function runJson(program, args) {
  return JSON.parse(execFileSync(program, args, {stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 26}).toString());
}
const runLlamaCpp = file =>
  runJson(process.execPath, [peer, file, ...shape, '--threads', flags.threads, '--batch', flags.batch]);
const runDamask = file =>
  runJson(flags.damask, ['bench', '-m', file, ...shape, '--repeat', '1', '-t', flags.threads, '--json', '--quiet']);

// One name per figure, alike for both engines: "prefill 512", "decode at 0".
function figures(result) {
  const out = new Map();
  for (const row of result.prefill) out.set(`prefill ${row.tokens}`, row.tokens_per_s);
  for (const row of result.decode) out.set(`decode at ${row.depth}`, row.tokens_per_s);
  return out;
}

function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return {median, lowest: sorted[0], highest: sorted.at(-1), values};
}

const report = {cpu: os.cpus()[0].model, rounds, threads: Number(flags.threads), load_before: os.loadavg()[0], engines: {}, files: []};
for (const file of files) {
  const runs = {damask: [], llama_cpp: []};
  for (let round = 0; round < rounds; ++round) {
    // Who goes first changes every round, so that neither always runs on the warmer machine.
    const turns = [['llama_cpp', runLlamaCpp], ['damask', runDamask]];
    if (round % 2) turns.reverse();
    for (const [name, run] of turns) {
      const result = run(file);
      runs[name].push(figures(result));
      report.engines[name] = result.engine ?? result.machine;
      console.error(`${path.basename(file)} round ${round + 1} ${name}: ` + [...runs[name].at(-1)].map(([k, v]) => `${k} ${v.toFixed(1)}`).join(', '));
    }
  }
  const rows = [...runs.damask[0].keys()].map(what => {
    const damask = summary(runs.damask.map(run => run.get(what)));
    const llamaCpp = summary(runs.llama_cpp.map(run => run.get(what)));
    return {what, damask, llama_cpp: llamaCpp, ratio: damask.median / llamaCpp.median};
  });
  report.files.push({file: path.basename(file), bytes: fs.statSync(file).size, rows});
}
report.load_after = os.loadavg()[0];

const spread = s => `${s.median.toFixed(1)} (${s.lowest.toFixed(1)}-${s.highest.toFixed(1)})`;
console.log(`${report.cpu}, ${report.threads} threads, medians of ${rounds} rounds in turn (lowest-highest), tokens/s; llama.cpp: ${report.engines.llama_cpp}, ` +
  `batch ${flags.batch}, flash attention on\n`);
console.log('| file | what | damask | llama.cpp | ratio |\n| --- | --- | --- | --- | --- |');
for (const {file, rows} of report.files) {
  for (const row of rows) console.log(`| ${file} | ${row.what} | ${spread(row.damask)} | ${spread(row.llama_cpp)} | ${row.ratio.toFixed(2)} |`);
}
if (flags.out) fs.writeFileSync(flags.out, JSON.stringify(report, null, 1) + '\n');
