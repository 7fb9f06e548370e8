// Talks to the server: JSON, streams of events, and everything that can go wrong as one kind of error.

// kind: 'http'     the server answered with an error: `status` and `error`, OpenAI's error object
//       'gone'     no answer at all
//       'broken'   an answer that ended before its end
//       'stopped'  by the user
export class Failure extends Error {
  constructor(kind, message, status = 0, error = {}) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.error = error;
  }
}

let apiKey = '';
export function setApiKey(key) { apiKey = key; }

async function failureOf(response) {
  let error = {};
  try {
    error = (await response.json()).error ?? {};
  } catch {
    // Not JSON: the status has to do.
  }
  const wait = Number(response.headers.get('retry-after'));
  if (wait > 0) error.retry_after = wait;
  return new Failure('http', error.message ?? `The server answered with status ${response.status}.`, response.status, error);
}

async function request(path, options, signal) {
  const headers = { ...options.headers };
  if (apiKey !== '') headers.Authorization = `Bearer ${apiKey}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, signal, cache: 'no-store' });
  } catch (error) {
    if (signal?.aborted) throw new Failure('stopped', 'Stopped.');
    // A key with characters that no header may have never leaves the browser.
    if (/header|ISO-8859-1/i.test(error.message)) throw new Failure('http', 'No key can have such characters.', 401);
    throw new Failure('gone', 'The server does not answer.');
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

export async function getJson(path) {
  const response = await request(path, {});
  try {
    return await response.json();
  } catch {
    throw new Failure('broken', `The server’s answer to ${path} is not JSON.`);
  }
}

function post(path, body, signal) {
  return request(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }, signal);
}

export async function postJson(path, body, signal) {
  const response = await post(path, body, signal);
  return response.json();
}

// The data of each server-sent event. Lines that begin with a colon are comments that keep the connection open.
async function* events(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let data = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
    rest = lines.pop();
    for (const whole of lines) {
      const line = whole.endsWith('\r') ? whole.slice(0, -1) : whole;
      if (line === '' && data.length > 0) {
        yield data.join('\n');
        data = [];
      } else if (line.startsWith('data:')) {
        data.push(line.slice(line[5] === ' ' ? 6 : 5));
      }
    }
  }
}

// The chunks of a streamed answer, up to its [DONE].
export async function* stream(path, body, signal) {
  const response = await post(path, body, signal);
  try {
    for await (const data of events(response.body)) {
      if (data === '[DONE]') return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Failure('http', chunk.error.message ?? 'The server gave up.', 0, chunk.error);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (signal?.aborted) throw new Failure('stopped', 'Stopped.');
    // A connection that is cut, or bytes that are no JSON.
  }
  throw new Failure('broken', 'The connection closed before the answer had ended.');
}

const number = new Intl.NumberFormat('en');

// One or two sentences for a reader who has never seen the protocol.
export function explain(failure) {
  const { error = {}, status = 0 } = failure;
  if (failure.kind === 'gone') return 'The server does not answer. This page tries again by itself.';
  if (error.code === 'context_length_exceeded' || error.n_ctx > 0) {
    const figures = error.n_prompt_tokens > 0 && error.n_ctx > 0;
    const what = figures ? `Too long: the prompt has ${number.format(error.n_prompt_tokens)} tokens, and the server’s ` +
      `context holds ${number.format(error.n_ctx)}, the answer included.` : failure.message;
    return `${what} A server started with a larger -c holds more, as far as the model can.`;
  }
  if (status === 401) return 'The server wants an API key. Give it below, under Settings.';
  if (status === 429) return `The server is busy: its queue is full. Try again in ${error.retry_after ?? 'a few'} seconds.`;
  return failure.message;
}
