// The page against running servers: a document is dropped, read and questioned.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { TestPage, launch, number } from './browser.mjs';
import { idle, linesText, serverUrl } from './support.mjs';

const url = serverUrl('DAMASK_URL');
const chatUrl = serverUrl('DAMASK_CHAT_URL');
const keyedUrl = serverUrl('DAMASK_KEYED_URL');
const key = serverUrl('DAMASK_KEYED_KEY');

// What the server itself answers: the small model is not always right, and that is not the page's doing.
async function expected(text, question) {
  const body = JSON.stringify({ prompt: `${text}${question}\n`, temperature: 0, stop: ['\n'] });
  const answer = await (await fetch(`${url}/v1/completions`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })).json();
  assert.match(answer.choices[0].text, /^line \S+: REGISTER_CONTENT is </);
  return answer.choices[0].text;
}

let browser;
before(async () => { browser = await launch(); });
after(async () => { await browser.close(); });

test('a dropped document is read once, and every question finds it in the cache', async () => {
  const page = await TestPage.open(browser, url);
  await page.shot('page-start');
  const text = linesText(150, 12);
  await page.drop('registers.txt', text.text);
  await page.card('read');
  assert.equal(await page.text('#document-name'), 'registers.txt');
  assert.match(await page.text('#document-meta'), /^\d\.\d KB · 150 lines · 3,\d\d\d tokens$/);
  assert.match(await page.text('#document-state'), /^Read in .* tokens\/s .* of memory · density \d.*% · recall \d.*%$/);
  for (const line of [40, 5, 120]) {
    const asked = text.keys[line];
    await page.ask(text.question(asked));
    const answer = await page.answer();
    assert.equal(answer.text, await expected(text.text, text.question(asked)));
    assert.equal(answer.problem, '');
    const prompt = number(answer.figures.prompt);
    assert.ok(prompt > 3000, JSON.stringify(answer.figures));
    assert.ok(prompt - number(answer.figures['from the cache']) < 128, JSON.stringify(answer.figures));
    assert.ok(number(answer.figures['tokens/s']) > 0);
    assert.match(answer.figures.memory, /^\d+\.\d MB$/);
    assert.match(answer.figures.density, /^\d+\.\d%$/);
    assert.match(answer.figures.recall, /^\d+\.\d%$/);
  }
  assert.match(await page.text('#status'), /^Answer: line /);
  await page.shot('page-answers');
  await page.close();
});

test('the reading is shown as it goes on', async () => {
  const page = await TestPage.open(browser, url);
  // What is shown while it is shown: too fast to be looked for from outside.
  await page.tab.evaluate(() => {
    window.seen = [];
    const state = document.getElementById('document-state');
    new MutationObserver(() => window.seen.push([state.textContent, document.getElementById('progress').value,
      document.getElementById('text-read').textContent.length])).observe(state, { childList: true });
  });
  const text = linesText(150, 13).text;
  await page.drop('slow.txt', text);
  await page.card('read');
  const seen = (await page.tab.evaluate(() => window.seen)).filter(([state]) => / of 3,\d\d\d tokens/.test(state));
  assert.ok(seen.length >= 3, JSON.stringify(seen));
  assert.match(seen[1][0], /^[\d,]+ of 3,\d\d\d tokens · [\d,.]+ tokens\/s · \d+ s left$/);
  for (let i = 1; i < seen.length; ++i) {
    assert.ok(seen[i][1] >= seen[i - 1][1] && seen[i][2] >= seen[i - 1][2], 'the bar and the ink only grow');
  }
  assert.equal(await page.text('#text-read'), text);
  await page.close();
});

test('a text too long for the context says both numbers, and its beginning can be read', async () => {
  const page = await TestPage.open(browser, url);
  const text = linesText(300, 13);
  await page.drop('long.txt', text.text);
  await page.card('failed');
  assert.match(await page.text('#document-problem'), /^Too long: the text has \d,\d\d\d tokens, and the server’s context holds 4,096\./);
  await page.shot('page-too-long');
  await page.tab.click('#shorten');
  await page.card('read');
  assert.match(await page.text('#document-meta'), /the beginning only$/);
  await page.ask(text.question(text.keys[3]));
  assert.equal((await page.answer()).text, await expected(await page.text('#text-read'), text.question(text.keys[3])));
  await page.close();
});

test('the built-in example is answered', async () => {
  const page = await TestPage.open(browser, url, { scheme: 'dark' });
  await page.tab.click('#example');
  await page.card('read');
  const question = await page.tab.$eval('#question', (box) => box.value);
  await page.tab.click('#ask');
  assert.equal((await page.answer()).text, await expected(await page.text('#text-read'), question));
  await page.shot('page-dark');
  await page.close();
});

test('Escape and Stop end an answer, and the server is free again', async () => {
  const page = await TestPage.open(browser, chatUrl);
  await page.drop('notes.txt', 'Some notes.\n');
  await page.card('read');
  for (const stop of [() => page.tab.keyboard.press('Escape'), () => page.tab.click('#stop')]) {
    await page.ask('And then?');
    await page.tab.waitForFunction(() => document.querySelector('.turn.running .answer')?.textContent.length > 20);
    await page.shot('page-streaming');
    await stop();
    const answer = await page.answer();
    assert.equal(answer.remark, 'Stopped.');
    assert.ok(answer.text.length > 20);
    assert.equal(await page.focused(), 'question');
    await idle(chatUrl);
  }
  await page.close();
});

test('everything can be done from the keyboard', async () => {
  const page = await TestPage.open(browser, url);
  const visited = [];
  for (let i = 0; i < 8; ++i) {
    await page.tab.keyboard.press('Tab');
    visited.push(await page.focused() || await page.tab.evaluate(() => document.activeElement.textContent.trim()));
  }
  assert.deepEqual(visited, ['choose', 'paste', 'example', 'question', 'ask', 'Settings', 'Masks', 'What the figures mean']);
  const outline = await page.tab.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid');
  await page.tab.focus('#paste');
  await page.tab.keyboard.press('Enter');
  await page.shown('#paste-text');
  assert.equal(await page.focused(), 'paste-text');
  await page.tab.keyboard.type('line red-fox: REGISTER_CONTENT is <31415>');
  await page.tab.keyboard.press('Tab');
  await page.tab.keyboard.press('Tab');
  await page.tab.keyboard.press('Enter');
  await page.card('read');
  assert.equal(await page.focused(), 'question');
  assert.equal(await page.text('#text-read'), 'line red-fox: REGISTER_CONTENT is <31415>');
  await page.ask('What is the REGISTER_CONTENT in line red-fox?');
  assert.notEqual((await page.answer()).text, '');
  await page.close();
});

test('the masks of all heads are shown', async () => {
  const page = await TestPage.open(browser, url);
  await page.tab.click('#masks summary');
  const frame = await (await page.shown('#masks-frame')).contentFrame();
  await frame.waitForSelector('.cell');
  assert.ok((await frame.$$('.cell')).length > 1);
  // A click reaches the script of the framed page.
  await frame.waitForFunction(() => document.querySelector('.cell').tabIndex === 0);
  await page.tab.$eval('#masks', (fold) => fold.scrollIntoView());
  await page.shot('page-masks');
  await page.close();
});

test('H09 a server with a key asks for it, and the key stays in the tab', async () => {
  const page = await TestPage.open(browser, keyedUrl, { ready: false });
  await page.server('locked');
  assert.equal(await page.focused(), 'key');
  await page.tab.keyboard.type('wrong');
  await page.tab.keyboard.press('Enter');
  await page.tab.$eval('#key', (input) => { input.value = ''; });
  await page.shot('page-key');
  await page.tab.keyboard.type(key);
  await page.tab.keyboard.press('Enter');
  await page.server('ready');
  await page.drop('one.txt', 'line red-fox: REGISTER_CONTENT is <31415>\n');
  await page.card('read');
  const kept = await page.tab.evaluate(() => [JSON.stringify({ ...sessionStorage }), localStorage.length, document.cookie]);
  assert.ok(kept[0].includes(key));
  assert.deepEqual(kept.slice(1), [0, '']);
  await page.close(/401/);
});

test('names and texts are shown as text, never as HTML', async () => {
  const page = await TestPage.open(browser, url);
  const hostile = '<img src=x onerror="document.title=1"><script>document.title=2</script>\n';
  await page.drop('<b>bold</b>.txt', hostile);
  await page.card('read');
  await page.ask('<i>slanted?</i>');
  await page.answer();
  assert.equal(await page.text('#text-read'), hostile);
  assert.equal(await page.text('.question'), '<i>slanted?</i>');
  assert.equal(await page.tab.evaluate(() => document.querySelectorAll('main img, main b, main i, main script').length), 0);
  await page.close();
});

test('files that are no texts are refused in a sentence', async () => {
  const page = await TestPage.open(browser, url);
  await page.drop('picture.png', '\u0000\u0001\u0002');
  await page.shown('#notice');
  assert.equal(await page.text('#notice'), 'picture.png is not a text file. Save a PDF or a Word document as plain text first.');
  await page.drop('empty.txt', ' \n');
  await page.tab.waitForFunction(() => document.getElementById('notice').textContent === 'empty.txt is empty.');
  await page.close();
});

test('a phone’s width needs no sideways scrolling', async () => {
  const page = await TestPage.open(browser, url, { width: 360, height: 760 });
  await page.shot('phone-start');
  const text = linesText(100, 14);
  await page.drop('a_name_without_any_space_in_it_that_is_longer_than_the_screen_is_wide.txt', text.text);
  await page.card('read');
  await page.ask(text.question(text.keys[9]));
  await page.answer();
  await page.shot('phone-answer');
  for (const fold of ['#settings', '#masks']) await page.tab.$eval(fold, (details) => { details.open = true; });
  const [content, screen] = await page.tab.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.equal(content, screen);
  await page.close();
});
