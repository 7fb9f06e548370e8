// The official openai client, unchanged, against running servers: the reference model (plain text), a random model with a chat
// template and one request at a time, and one that asks for a key.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';

import { idle, linesText, serverUrl } from './support.mjs';

const plainUrl = serverUrl('DAMASK_URL');
const chatUrl = serverUrl('DAMASK_CHAT_URL');
const keyedUrl = serverUrl('DAMASK_KEYED_URL');
const key = serverUrl('DAMASK_KEYED_KEY');

const client = (url, apiKey = 'none') => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const plain = client(plainUrl);
const chat = client(chatUrl);

const document_ = linesText(30, 1);
const asked = document_.keys[7];
const prompt = `${document_.text}${document_.question(asked)}\n`;
const greedy = { prompt, temperature: 0, stop: ['\n'] };
const hello = [{ role: 'user', content: 'Say something.' }];

async function modelOf(openai) { return (await openai.models.list()).data[0].id; }

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test('models.list names the model, and models.retrieve finds it', async () => {
  const list = await plain.models.list();
  assert.equal(list.data.length, 1);
  const model = await plain.models.retrieve(list.data[0].id);
  assert.equal(model.id, list.data[0].id);
  assert.equal(model.object, 'model');
  await assert.rejects(plain.models.retrieve('no-such-model'), OpenAI.NotFoundError);
});

test('a completion answers from the document and counts its tokens', async () => {
  const answer = await plain.completions.create({ model: await modelOf(plain), ...greedy });
  assert.equal(answer.object, 'text_completion');
  assert.equal(answer.choices[0].text, document_.line(asked));
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.ok(answer.usage.prompt_tokens > 500);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.ok(answer.usage.attention_density > 0 && answer.usage.attention_density <= 1);
});

test('a second question about the document starts behind it', async () => {
  const model = await modelOf(plain);
  await plain.completions.create({ model, ...greedy });
  const other = document_.keys[20];
  const again = { model, ...greedy, prompt: `${document_.text}${document_.question(other)}\n` };
  const second = await plain.completions.create(again);
  assert.equal(second.choices[0].text, document_.line(other));
  const read = second.usage.prompt_tokens - second.usage.prompt_tokens_details.cached_tokens;
  assert.ok(read < 128, `${read} tokens were read again`);
});

test('a stream gives the same text, and usage only where it is asked for', async () => {
  const model = await modelOf(plain);
  const whole = await plain.completions.create({ model, ...greedy });
  const bare = await collect(await plain.completions.create({ model, ...greedy, stream: true }));
  assert.equal(bare.map((chunk) => chunk.choices[0].text).join(''), whole.choices[0].text);
  assert.equal(bare.at(-1).choices[0].finish_reason, 'stop');
  assert.ok(bare.every((chunk) => !chunk.usage));
  const usage = { stream: true, stream_options: { include_usage: true } };
  const counted = await collect(await plain.completions.create({ model, ...greedy, ...usage }));
  assert.deepEqual(counted.at(-1).choices, []);
  assert.equal(counted.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
  assert.ok(counted.slice(0, -1).every((chunk) => chunk.usage === null));
});

test('max_tokens ends an answer, stop cuts it before the text', async () => {
  const model = await modelOf(plain);
  const short = await plain.completions.create({ model, ...greedy, max_tokens: 3 });
  assert.equal(short.usage.completion_tokens, 3);
  assert.equal(short.choices[0].finish_reason, 'length');
  const stopped = await plain.completions.create({ model, ...greedy, stop: ['CONTENT'] });
  assert.equal(stopped.choices[0].text, `line ${asked}: REGISTER_`);
  const chunks = await collect(await plain.completions.create({ model, ...greedy, stop: ['CONTENT'], stream: true }));
  assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), `line ${asked}: REGISTER_`);
});

test('logprobs of a completion: the drawn token is the likeliest at temperature 0', async () => {
  const answer = await plain.completions.create({ model: await modelOf(plain), ...greedy, logprobs: 3 });
  const { tokens, token_logprobs, top_logprobs } = answer.choices[0].logprobs;
  assert.ok(tokens.length >= answer.usage.completion_tokens - 1);
  assert.ok(tokens.join('').startsWith(answer.choices[0].text));
  for (const [i, logprob] of token_logprobs.entries()) {
    assert.ok(logprob <= 0);
    assert.ok(Object.keys(top_logprobs[i]).length >= 1);
    assert.ok(Math.abs(Math.max(...Object.values(top_logprobs[i])) - logprob) < 1e-6);
  }
});

test('the same seed draws the same text, others draw others', async () => {
  const model = await modelOf(chat);
  const draw = async (seed) => {
    const answer = await chat.completions.create({ model, prompt: 'once', temperature: 2, top_p: 1, max_tokens: 24, seed });
    return answer.choices[0].text;
  };
  const first = await draw(7);
  assert.equal(await draw(7), first);
  assert.notEqual(await draw(8), first);
});

test('a chat completion, whole and as a stream, is the same answer', async () => {
  const model = await modelOf(chat);
  const request = { model, messages: hello, temperature: 0, max_completion_tokens: 20 };
  const whole = await chat.chat.completions.create(request);
  assert.equal(whole.object, 'chat.completion');
  assert.equal(whole.choices[0].message.role, 'assistant');
  assert.ok(whole.usage.completion_tokens <= 20 && whole.usage.prompt_tokens > 0);
  const usage = { stream: true, stream_options: { include_usage: true } };
  const chunks = await collect(await chat.chat.completions.create({ ...request, ...usage }));
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), whole.choices[0].message.content);
  assert.equal(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
});

test('the client’s own helper reads the stream to its end', async () => {
  const runner = chat.chat.completions.stream({ model: await modelOf(chat), messages: hello, temperature: 0, max_tokens: 12 });
  let text = '';
  runner.on('content', (piece) => { text += piece; });
  const final = await runner.finalChatCompletion();
  assert.equal(final.choices[0].message.content, text);
  assert.ok(['stop', 'length'].includes(final.choices[0].finish_reason));
});

test('logprobs of a chat completion', async () => {
  const answer = await chat.chat.completions.create({
    model: await modelOf(chat), messages: hello, temperature: 0, max_tokens: 5, logprobs: true, top_logprobs: 4 });
  const entries = answer.choices[0].logprobs.content;
  assert.ok(entries.length > 0);
  for (const entry of entries) {
    assert.equal(entry.top_logprobs.length, 4);
    assert.equal(entry.top_logprobs[0].logprob, entry.logprob);
  }
});

test('H07 a prompt that does not fit is a BadRequestError with both numbers', async () => {
  const long = linesText(300, 2).text;
  await assert.rejects(plain.completions.create({ model: await modelOf(plain), prompt: long }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.code, 'context_length_exceeded');
    assert.ok(error.error.n_prompt_tokens > error.error.n_ctx);
    return true;
  });
});

test('H08 an unknown model is a NotFoundError', async () => {
  await assert.rejects(plain.completions.create({ model: 'gpt-4', prompt: 'x' }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, 'model_not_found');
    return true;
  });
});

test('H05 what damask lacks is refused by name', async () => {
  const model = await modelOf(chat);
  const refused = {
    n: { n: 2 }, tools: { tools: [{ type: 'function', function: { name: 'f' } }] }, logit_bias: { logit_bias: { 1: 5 } },
    response_format: { response_format: { type: 'json_object' } },
  };
  for (const [param, fields] of Object.entries(refused)) {
    await assert.rejects(chat.chat.completions.create({ model, messages: hello, ...fields }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, param);
      assert.ok(error.param.startsWith(param), `${error.param} for ${param}`);
      return true;
    });
  }
  await assert.rejects(chat.embeddings.create({ model, input: 'x' }), (error) => error.status === 501);
});

test('a model without a chat template answers to plain text', async () => {
  const answer = await plain.chat.completions.create({ model: await modelOf(plain), messages: hello, max_tokens: 3 });
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.ok(answer.usage.completion_tokens <= 3);
});

test('H09 a wrong key is an AuthenticationError, the right one answers', async () => {
  await assert.rejects(client(keyedUrl, 'wrong').models.list(), OpenAI.AuthenticationError);
  const keyed = client(keyedUrl, key);
  const answer = await keyed.completions.create({ model: await modelOf(keyed), prompt: 'line', max_tokens: 2 });
  assert.equal(answer.usage.completion_tokens, 2);
});

test('H13 a full server is a RateLimitError; aborted streams free it', async () => {
  const model = await modelOf(chat);
  await idle(chatUrl);
  // One is worked on, one may wait: the first has begun before the second comes.
  const endless = { model, prompt: 'once', temperature: 2, top_p: 1, seed: 3, stream: true };
  const running = await chat.completions.create(endless);
  assert.equal((await running[Symbol.asyncIterator]().next()).done, false);
  const waiting = await chat.completions.create(endless);
  await assert.rejects(chat.completions.create({ model, prompt: 'x', max_tokens: 1 }), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.code, 'rate_limit_exceeded');
    assert.ok(Number(error.headers.get('retry-after')) > 0);
    return true;
  });
  waiting.controller.abort();
  running.controller.abort();
  await idle(chatUrl);
  const after = await chat.completions.create({ model, prompt: 'x', max_tokens: 1 });
  assert.equal(after.usage.completion_tokens, 1);
});
