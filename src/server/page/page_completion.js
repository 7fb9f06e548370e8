// From a document, earlier turns and a question to a request, and the answer as it streams in. The document always comes first
// and the question last, so that all requests about a document begin with the same tokens: those the server has kept.
import { stream } from './page_server.js';

// A model without a template continues text: the document, then the question on a line of its own.
function plainPrompt(text, turns, question) {
  const end = text === '' || text.endsWith('\n') ? '' : '\n';
  const earlier = turns.map((turn) => `${turn.question}\n${turn.answer}\n`).join('');
  return text + end + earlier + (question === '' ? '' : `${question}\n`);
}

function chatMessages(text, turns, question) {
  const messages = [];
  for (const turn of turns) {
    messages.push({ role: 'user', content: turn.question }, { role: 'assistant', content: turn.answer });
  }
  if (question !== '' || turns.length === 0) messages.push({ role: 'user', content: question });
  if (text !== '') messages[0].content = messages[0].content === '' ? text : `${text}\n\n${messages[0].content}`;
  return messages;
}

// What is asked of the server. An empty question only reads: one token is the least that can be asked for.
function makeRequest(has_template, { text, turns, question, settings }) {
  const body = {
    stream: true,
    stream_options: { include_usage: true, include_progress: true },
    temperature: settings.temperature,
  };
  if (question === '') body.max_tokens = 1;
  else if (settings.maxTokens > 0) body.max_tokens = settings.maxTokens;
  if (has_template) return { path: '/v1/chat/completions', body: { ...body, messages: chatMessages(text, turns, question) } };
  if (settings.oneLine) body.stop = ['\n'];
  return { path: '/v1/completions', body: { ...body, prompt: plainPrompt(text, turns, question) } };
}

// As seen from here: intervals between tokens, of which there is one less than tokens.
function ownRate(tokens, milliseconds) { return tokens > 1 && milliseconds > 0 ? (tokens - 1) / (milliseconds / 1000) : null; }

// Runs the request. onProgress gets {total, cache, processed, time_ms} while the prompt is read, onText each piece of the
// answer, with thoughts: true where the model still thinks.
// Returns {usage, finish, seconds, firstTokenSeconds, tokensPerSecond}; a Failure is thrown.
export async function complete(has_template, parts, signal, onProgress, onText) {
  const { path, body } = makeRequest(has_template, parts);
  const begun = performance.now();
  let first = 0;
  let last = 0;
  let pieces = 0;
  let usage = null;
  let timings = null;
  let finish = null;
  for await (const chunk of stream(path, body, signal)) {
    if (chunk.prompt_progress) onProgress(chunk.prompt_progress);
    if (chunk.usage) usage = chunk.usage;
    if (chunk.timings) timings = chunk.timings;
    const choice = chunk.choices?.[0];
    if (!choice) continue;
    finish = choice.finish_reason ?? finish;
    const thoughts = choice.delta?.reasoning_content ?? '';
    const piece = choice.delta?.content ?? choice.text ?? '';
    if (thoughts === '' && piece === '') continue;
    last = performance.now();
    if (first === 0) first = last;
    ++pieces;
    const pace = { pieces, seconds: (last - first) / 1000 };
    if (thoughts !== '') onText(thoughts, { ...pace, thoughts: true });
    if (piece !== '') onText(piece, { ...pace, thoughts: false });
  }
  const tokens = usage?.completion_tokens ?? pieces;
  return {
    usage,
    finish,
    seconds: (performance.now() - begun) / 1000,
    firstTokenSeconds: first === 0 ? null : (first - begun) / 1000,
    tokensPerSecond: timings?.predicted_per_second || ownRate(tokens, last - first),
  };
}
