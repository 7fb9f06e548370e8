// Texts: from a file, from the clipboard, or made on the spot; how many tokens they have.
import { bytes } from './page_figures.js';
import { postJson } from './page_server.js';

const kMostBytes = 50e6;          // JSON adds to it, and the server takes 64 MiB
const kSampleCharacters = 200000;  // of longer texts a sample is counted

// {name, text, note}, or an Error with a sentence.
export async function fromFile(file) {
  if (file.size > kMostBytes) {
    throw new Error(`${file.name} has ${bytes(file.size)}; this page takes texts of up to ${bytes(kMostBytes)}.`);
  }
  let buffer;
  try {
    buffer = await file.arrayBuffer();
  } catch {
    throw new Error(`${file.name} cannot be read: is it a folder?`);
  }
  return { name: file.name, ...decode(new Uint8Array(buffer), file.name) };
}

function decode(data, name) {
  const wide = data[0] === 0xff && data[1] === 0xfe ? 'utf-16le' : data[0] === 0xfe && data[1] === 0xff ? 'utf-16be' : '';
  if (wide !== '') return { text: tidy(new TextDecoder(wide).decode(data)), note: 'UTF-16' };
  const isPdf = String.fromCharCode(...data.subarray(0, 5)) === '%PDF-';
  if (isPdf || data.includes(0)) {
    throw new Error(`${name} is not a text file. Save a PDF or a Word document as plain text first.`);
  }
  try {
    return { text: tidy(new TextDecoder('utf-8', { fatal: true }).decode(data)), note: '' };
  } catch {
    return { text: tidy(new TextDecoder('windows-1252').decode(data)), note: 'taken as Windows-1252: it is not UTF-8' };
  }
}

function tidy(text) { return text.replace(/\r\n?/g, '\n'); }

export function fromPaste(text) { return { name: 'Pasted text', text: tidy(text), note: '' }; }

export function lineCount(text) {
  let lines = text === '' || text.endsWith('\n') ? 0 : 1;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) ++lines;
  return lines;
}

// Half of a surrogate pair at a cut would be refused.
function whole(text) { return text.replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, ''); }

// {tokens, exact}: all of a short text is counted, of a long one a sample from its middle.
export async function countTokens(text, signal) {
  const exact = text.length <= kSampleCharacters;
  const start = exact ? 0 : Math.floor((text.length - kSampleCharacters) / 2);
  const sample = exact ? text : whole(text.slice(start, start + kSampleCharacters));
  const { tokens } = await postJson('/tokenize', { content: sample }, signal);
  return { tokens: exact ? tokens.length : Math.round(tokens.length * text.length / sample.length), exact };
}

// The beginning of a text, to the end of a line where there is one near, that has about `wanted` of its `tokens`.
export function beginning(text, tokens, wanted) {
  const end = Math.floor(text.length * Math.min(1, wanted / tokens));
  const line = text.lastIndexOf('\n', end);
  return whole(text.slice(0, line > end / 2 ? line + 1 : end));
}

// Lines of which one is asked for, as tools/demo.sh makes them: what the embedded model was trained on.
export function example(lines = 120) {
  const first = ('amber brisk cedar dusty eager frost golden humble ivory jolly keen lunar mellow noble olive proud quiet ' +
    'rustic solar tidy').split(' ');
  const second = ('anchor basket candle desert engine forest garden harbor island jacket kettle ladder market needle ' +
    'orchard pocket river saddle temple valley').split(' ');
  const below = (limit) => Math.floor(Math.random() * limit);
  const keys = new Set();
  while (keys.size < lines) keys.add(`${first[below(first.length)]}-${second[below(second.length)]}`);
  const names = [...keys];
  const text = names.map((key) => `line ${key}: REGISTER_CONTENT is <${10000 + below(90000)}>\n`).join('');
  // Far from the end, so that nothing but reading finds it.
  const asked = names[Math.floor(lines / 4)];
  return { name: 'An example', text, note: 'made on the spot', question: `What is the REGISTER_CONTENT in line ${asked}?` };
}
