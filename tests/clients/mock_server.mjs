// A server that speaks damask's protocol from a script: for what a real one shows only by bad luck. The page it serves is the
// one in the tree. mock.state decides what it does; mock.requests holds what it was asked.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';

const kPage = new URL('../../src/server/page/', import.meta.url);
const kTypes = {
  html: 'text/html; charset=utf-8', css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8', svg: 'image/svg+xml',
};

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const words = (text) => text.match(/\s*\S+|\s+$/g) ?? [];

export async function startMock(overrides = {}) {
  const state = {
    health: 200, chat: false, context: 4096, chunk: 512, chunkMs: 20, tokenMs: 5,
    answer: 'It is in the third line.', thoughts: '', recall: 0.9931, density: 0.312, fault: '', read: new Set(), ...overrides,
  };
  const mock = { state, requests: [], gone: 0 };
  const server = createServer((request, response) => {
    serve(mock, request, response).catch(() => response.destroy());
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  mock.url = `http://127.0.0.1:${server.address().port}`;
  mock.stop = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return mock;
}

async function serve(mock, request, response) {
  const { state } = mock;
  const path = request.url.split('?')[0];
  if (request.method === 'GET' && (path === '/' || path.startsWith('/page'))) return servePage(path, response);
  if (state.health !== 200) return refuse(response, state.health, 'the model is being loaded');
  if (path === '/health') return json(response, 200, { status: 'ok' });
  if (path === '/props') return json(response, 200, props(state));
  let body = '';
  for await (const piece of request) body += piece;
  const fields = JSON.parse(body);
  mock.requests.push({ path, fields });
  if (path === '/tokenize') return json(response, 200, { tokens: words(fields.content).map((_, i) => i) });
  return complete(mock, path, fields, response);
}

async function servePage(path, response) {
  const name = path === '/' ? 'index.html' : path.slice(1);
  const content = await readFile(new URL(name, kPage));
  const headers = { 'Content-Type': kTypes[name.split('.').pop()], 'Content-Security-Policy': "default-src 'self'" };
  response.writeHead(200, headers).end(content);
}

function props(state) {
  return {
    model_alias: 'mock-1b', default_generation_settings: { n_ctx: state.context }, total_slots: 4,
    chat_template: state.chat ? '[INST]' : null, attention: { policy: 'full', mask_pictures: false },
    memory: { kv_bytes_per_token: 32768 },
  };
}

function json(response, status, value, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(value));
}

function refuse(response, status, message, more = {}, headers = {}) {
  json(response, status, { error: { message, type: 'invalid_request_error', param: null, code: null, ...more } }, headers);
}

async function complete(mock, path, fields, response) {
  const { state } = mock;
  const chat = path === '/v1/chat/completions';
  const prompt = words(chat ? fields.messages.map((message) => message.content).join('\n') : fields.prompt);
  if (prompt.length + (fields.max_tokens ?? 1) > state.context) {
    const more = { code: 'context_length_exceeded', n_prompt_tokens: prompt.length, n_ctx: state.context };
    return refuse(response, 400, 'too long', more);
  }
  if (state.fault === 'busy') {
    return refuse(response, 429, 'the queue is full', { code: 'rate_limit_exceeded' }, { 'Retry-After': '7' });
  }
  response.on('close', () => { if (!response.writableEnded) ++mock.gone; });
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  const send = (value) => response.write(`data: ${JSON.stringify(value)}\n\n`);
  const start = cachedTokens(state, prompt);
  const begun = Date.now();
  for (let at = start; at < prompt.length;) {
    at = Math.min(prompt.length, at + state.chunk);
    await pause(state.chunkMs);
    if (response.destroyed) return;
    response.write(': still reading\n\n');
    send({ choices: [], prompt_progress: { total: prompt.length, cache: start, processed: at, time_ms: Date.now() - begun } });
  }
  state.read.add(prompt.join(''));
  if (state.fault === 'event') {
    send({ error: { message: 'The engine ran out of pages.', type: 'server_error', param: null, code: null } });
    return response.end();
  }
  for (const piece of words(state.thoughts)) {
    send({ choices: [{ index: 0, delta: { reasoning_content: piece }, finish_reason: null }] });
  }
  const answer = words(state.answer).slice(0, fields.max_tokens);
  for (const [i, piece] of answer.entries()) {
    await pause(state.tokenMs);
    if (response.destroyed) return;
    if (state.fault === 'cut' && i === 2) {
      await pause(300);  // a browser may drop what has come but was not read yet when the connection breaks
      return response.destroy();
    }
    send({ choices: [{ index: 0, ...(chat ? { delta: { content: piece } } : { text: piece }), finish_reason: null }] });
  }
  const finish_reason = fields.max_tokens === answer.length ? 'length' : 'stop';
  send({ choices: [{ index: 0, ...(chat ? { delta: {} } : { text: '' }), finish_reason }] });
  send({ choices: [], usage: {
    prompt_tokens: prompt.length, completion_tokens: answer.length, prompt_tokens_details: { cached_tokens: start },
    attention_density: state.density, attention_recall: state.recall } });
  response.end('data: [DONE]\n\n');
}

// The longest beginning that an earlier prompt has, in whole pages of 64.
function cachedTokens(state, prompt) {
  let best = 0;
  for (const earlier of state.read) {
    const other = words(earlier);
    let same = 0;
    while (same < other.length && same < prompt.length - 1 && other[same] === prompt[same]) ++same;
    best = Math.max(best, Math.floor(same / 64) * 64);
  }
  return best;
}
