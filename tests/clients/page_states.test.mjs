// The page against a scripted server: what a real one shows only by bad luck.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { TestPage, launch } from './browser.mjs';
import { startMock } from './mock_server.mjs';
import { until } from './support.mjs';

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });

// A page on a server that behaves as `state` says; both end with the test.
async function open(t, state, options) {
  const mock = await startMock(state);
  t.after(() => mock.stop());
  const page = await TestPage.open(browser, mock.url, options);
  return { mock, page };
}

const kText = `${Array.from({ length: 400 }, (_, i) => `word${i}`).join(' ')}\n`;
// What Chromium says of every answer that is an error.
const kFailedLoad = /Failed to load resource/;

test('H14 a loading server is waited for, by a document as well', async (t) => {
  const { mock, page } = await open(t, { health: 503 }, { ready: false });
  await page.server('loading');
  assert.equal(await page.text('#server-text'), 'The server is loading its model');
  await page.drop('early.txt', kText);
  await page.tab.waitForFunction(() => /Waiting for the server/.test(document.getElementById('document-state').textContent));
  mock.state.health = 200;
  await page.server('ready');
  await page.card('read');
  await page.close(kFailedLoad);
});

test('a server that goes away is noticed when it is asked', async (t) => {
  const { mock, page } = await open(t, {});
  await page.drop('a.txt', kText);
  await page.card('read');
  await mock.stop();
  await page.ask('Still there?');
  assert.equal((await page.answer()).problem, 'The server does not answer. This page tries again by itself.');
  await page.server('gone');
  assert.equal(await page.tab.$eval('#question', (box) => box.value), 'Still there?');
  await page.close(kFailedLoad);
});

test('thoughts stand apart from the answer, and stay out of the conversation', async (t) => {
  const { mock, page } = await open(t, { chat: true, thoughts: 'Where was it? Ah.' });
  await page.ask('First?');
  assert.equal((await page.answer()).text, 'It is in the third line.');
  assert.equal(await page.text('.thoughts > div'), 'Where was it? Ah.');
  mock.state.thoughts = '';
  await page.ask('Second?');
  await page.answer();
  const hidden = await page.tab.$$eval('.thoughts', (all) => all.map((details) => details.hidden));
  assert.deepEqual(hidden, [false, true]);
  const last = mock.requests.filter((request) => request.path === '/v1/chat/completions').pop();
  assert.equal(last.fields.messages[1].content, 'It is in the third line.');
  await page.close();
});

test('H19 an error inside a stream is shown, and what came before it stays out of the conversation', async (t) => {
  const { mock, page } = await open(t, { chat: true, fault: 'event' });
  await page.ask('First?');
  assert.equal((await page.answer()).problem, 'The engine ran out of pages.');
  mock.state.fault = '';
  await page.ask('Second?');
  await page.answer();
  const last = mock.requests.filter((request) => request.path === '/v1/chat/completions').pop();
  assert.deepEqual(last.fields.messages, [{ role: 'user', content: 'Second?' }]);
  await page.close();
});

test('an answer that breaks off says so and keeps its beginning', async (t) => {
  const { page } = await open(t, { fault: 'cut' });
  await page.ask('Why?');
  const answer = await page.answer();
  assert.equal(answer.text, 'It is');
  assert.equal(answer.problem, 'The connection closed before the answer had ended.');
  await page.close(kFailedLoad);
});

test('H13 a full queue says when to come back', async (t) => {
  const { page } = await open(t, { fault: 'busy' });
  await page.ask('Now?');
  assert.equal((await page.answer()).problem, 'The server is busy: its queue is full. Try again in 7 seconds.');
  await page.close(kFailedLoad);
});

test('an empty answer is not taken for a missing one', async (t) => {
  const { page } = await open(t, { answer: '' });
  await page.ask('Anything?');
  const answer = await page.answer();
  assert.equal(answer.remark, 'The model ended its answer without a word.');
  assert.equal(answer.problem, '');
  await page.close();
});

test('an answer of HTML is shown as text', async (t) => {
  const answer = '<img src=x onerror=alert(1)> <b>bold</b> &amp;';
  const { page } = await open(t, { answer });
  await page.ask('Markup?');
  assert.equal((await page.answer()).text, answer);
  assert.equal(await page.tab.evaluate(() => document.querySelectorAll('.turn img, .turn b').length), 0);
  await page.close();
});

test('a figure that was not measured is left out', async (t) => {
  const { page } = await open(t, { recall: null });
  await page.ask('How well?');
  const { figures } = await page.answer();
  assert.equal(figures.density, '31.2%');
  assert.ok(!('recall' in figures));
  await page.close();
});

test('in chat the document comes first, questions follow as turns', async (t) => {
  const { mock, page } = await open(t, { chat: true, answer: 'Yes.' });
  await page.drop('a.txt', 'The text.');
  await page.card('read');
  for (const question of ['One?', 'Two?']) {
    await page.ask(question);
    await page.answer();
  }
  const asked = mock.requests.filter((request) => request.path === '/v1/chat/completions').map((request) => request.fields);
  assert.deepEqual(asked.map((fields) => fields.messages), [
    [{ role: 'user', content: 'The text.' }],
    [{ role: 'user', content: 'The text.\n\nOne?' }],
    [{ role: 'user', content: 'The text.\n\nOne?' }, { role: 'assistant', content: 'Yes.' }, { role: 'user', content: 'Two?' }],
  ]);
  assert.deepEqual(asked.map((fields) => fields.max_tokens), [1, undefined, undefined]);
  await page.close();
});

test('without a template each question follows the document by itself', async (t) => {
  const { mock, page } = await open(t, {});
  await page.drop('a.txt', 'The text.');
  await page.card('read');
  for (const question of ['One?', 'Two?']) {
    await page.ask(question);
    await page.answer();
  }
  const asked = mock.requests.filter((request) => request.path === '/v1/completions').map((request) => request.fields);
  assert.deepEqual(asked.map((fields) => fields.prompt), ['The text.\n', 'The text.\nOne?\n', 'The text.\nTwo?\n']);
  assert.deepEqual(asked.map((fields) => fields.stop), [['\n'], ['\n'], ['\n']]);
  await page.close();
});

test('a question asked while the text is being read waits for it; Escape ends both', async (t) => {
  const { mock, page } = await open(t, { chunk: 16, chunkMs: 20 });
  await page.drop('a.txt', kText);
  await page.ask('Early?');
  assert.equal(await page.text('.turn .waiting'), 'The answer comes when the text has been read.');
  assert.equal((await page.answer()).text, 'It is in the third line.');
  mock.state.chunkMs = 200;
  await page.drop('b.txt', `Another ${kText}`);
  await page.tab.waitForFunction(() => document.getElementById('progress').value > 0);
  await page.ask('Late?');
  await page.tab.keyboard.press('Escape');
  assert.equal((await page.answer()).remark, 'Stopped.');
  await page.card('failed');
  assert.match(await page.text('#document-state'), /^Stopped: \d+ of 40\d tokens read$/);
  await until('the server to see that the client has gone', () => mock.gone === 1);
  mock.state.chunkMs = 5;
  await page.tab.click('#again');
  await page.card('read');
  await page.close();
});

test('a new text begins a new conversation', async (t) => {
  const { mock, page } = await open(t, { chat: true });
  for (const name of ['a', 'b']) {
    await page.drop(`${name}.txt`, `Text ${name}.`);
    await page.card('read');
    await page.ask('What?');
    await page.answer();
  }
  assert.deepEqual(mock.requests.pop().fields.messages, [{ role: 'user', content: 'Text b.\n\nWhat?' }]);
  assert.equal(await page.text('.section'), 'b.txt');
  await page.close();
});
