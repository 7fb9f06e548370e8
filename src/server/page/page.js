// The page: a text is read once, then questions are asked about it. This file holds what is going on and ties the parts together.
import { Failure, explain, getJson } from './page_server.js';
import { complete } from './page_completion.js';
import * as texts from './page_document.js';
import * as card from './page_card.js';
import { RateMeter, count, tokens } from './page_figures.js';
import { adaptSettings, askForKey, settings, startSettings } from './page_settings.js';
import { TurnView } from './page_turn.js';

const $ = (id) => document.getElementById(id);

const server = { state: 'connecting', props: null };
// {name, text, note, tokens, reading: a promise while it is being read}
let current = null;
let turns = [];            // {question, answer, text: the document's}
const running = new Set();  // AbortControllers

function say(sentence) { $('status').textContent = sentence; }

function hasTemplate() { return Boolean(server.props?.chat_template); }
function context() { return server.props?.default_generation_settings?.n_ctx ?? server.props?.n_ctx ?? 0; }
function kvBytesPerToken() { return server.props?.memory?.kv_bytes_per_token ?? 0; }

// ---- the server

function showServer(state, sentence) {
  if ($('server-text').textContent !== sentence) say(sentence);
  server.state = state;
  $('server').dataset.state = state;
  $('server-text').textContent = sentence;
}

function modelName(props) {
  const path = props.model_alias || props.model_path || 'a model';
  return path.split(/[\\/]/).pop();
}

function showReady(props) {
  const parts = [modelName(props)];
  // A policy's options are for the curious: the whole of it is the line's title.
  const policy = props.attention?.policy ?? '';
  if (policy !== '') parts.push(`${policy.split(':')[0]} attention`);
  $('server-text').title = policy;
  if (context() > 0) parts.push(`${count(context())} tokens of context`);
  showServer('ready', parts.join(' · '));
  adaptSettings(hasTemplate());
  const masked = Boolean(props.attention?.mask_pictures);
  $('masks-none').hidden = masked;
  $('masks-some').hidden = !masked;
}

function showServerFailure(failure) {
  server.props = null;
  if (failure.kind === 'gone') showServer('gone', 'The server does not answer');
  else if (failure.status === 503) showServer('loading', 'The server is loading its model');
  else if (failure.status === 401) showLocked();
  else showServer('gone', failure.message);
}

function showLocked() {
  if (server.state !== 'locked') askForKey();
  showServer('locked', settings.key === '' ? 'The server wants an API key: see Settings' : 'The API key is not the server’s: see Settings');
}

// Looks after the server: often while it is not there, now and then while it is.
let watcher = 0;
async function watchServer() {
  clearTimeout(watcher);
  const mine = watcher = setTimeout(() => {}, 0);  // of several that overlap only the last goes on
  try {
    await getJson('/health');
    if (server.state !== 'ready') {
      server.props = await getJson('/props');
      showReady(server.props);
    }
  } catch (failure) {
    showServerFailure(failure);
  }
  if (mine !== watcher) return;
  const pause = server.state === 'ready' ? 10000 : server.state === 'locked' ? 30000 : 1000;
  watcher = setTimeout(watchServer, pause);
}

// Returns when the server can be asked; until then `wait` is told what is being waited for.
function untilReady(signal, wait) {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (signal.aborted) return reject(new Failure('stopped', 'Stopped.'));
      if (server.state === 'ready') return resolve();
      wait(server.state === 'locked' ? 'Waiting for an API key: see Settings' : 'Waiting for the server…');
      setTimeout(look, 100);
    };
    look();
  });
}

// ---- what runs, and stopping it

async function run(work) {
  const controller = new AbortController();
  running.add(controller);
  showRunning();
  try {
    return await work(controller.signal);
  } finally {
    running.delete(controller);
    showRunning();
  }
}

function showRunning() {
  const hadFocus = document.activeElement === $('stop');
  $('stop').hidden = running.size === 0;
  $('ask').disabled = turns.some((turn) => turn.running);
  if (hadFocus && $('stop').hidden) $('question').focus();
}

function stop() {
  for (const controller of running) controller.abort();
}

function noteFailure(failure) {
  if (failure.kind === 'gone') watchServer();
  if (failure.status === 401) showServerFailure(failure);
}

// ---- the document

function openDocument(document_) {
  stop();
  current = document_;
  document.body.dataset.view = 'document';
  $('chooser').hidden = true;
  $('card').hidden = false;
  $('notice').hidden = true;
  $('document-name').textContent = document_.name;
  $('document-name').title = document_.name;
  $('question-label').textContent = 'Question';
  document.title = `${document_.name} – damask`;
  card.describe(document_, texts.lineCount(document_.text), null);
  if (turns.length > 0) startSection(document_.name);
  if (document_.question) $('question').value = document_.question;
  read();
  $('question').focus();
}

function startSection(name) {
  const rule = document.createElement('p');
  rule.className = 'section';
  rule.textContent = name;
  $('turns').append(rule);
}

function closeDocument() {
  stop();
  current = null;
  document.body.dataset.view = turns.length > 0 ? 'document' : 'empty';
  document.title = 'damask';
  $('question-label').textContent = 'Or ask without a text';
  $('card').hidden = true;
  $('chooser').hidden = false;
  $('choose').focus();
}

function read() {
  const document_ = current;
  document_.reading = run((signal) => readDocument(document_, signal)).finally(() => { document_.reading = null; });
}

// Counts, then reads. What goes wrong is shown on the card; nothing is thrown.
async function readDocument(document_, signal) {
  const meter = new RateMeter();
  const isCurrent = () => current === document_;
  card.showProblem('');
  card.showActions('', '');
  card.showText(document_.text, 0);
  card.showState('reading');
  $('progress').removeAttribute('value');
  const wait = (sentence) => { $('document-state').textContent = sentence; };
  try {
    await untilReady(signal, wait);
    wait('Waiting for its turn…');
    const counted = await texts.countTokens(document_.text, signal);
    if (!isCurrent()) return;
    document_.counted = counted;
    card.describe(document_, texts.lineCount(document_.text), counted);
    if (tooLong(counted)) return showTooLong(counted);
    say(`Reading ${document_.name}, ${tokens(counted.tokens)}.`);
    const parts = { text: document_.text, turns: [], question: '', settings };
    const onProgress = (progress) => {
      if (!isCurrent()) return;
      document_.progress = progress;
      meter.add(progress);
      card.showProgress(progress, meter);
      card.showText(document_.text, progress.processed / Math.max(1, progress.total));
      card.followText();
    };
    const result = await complete(hasTemplate(), parts, signal, onProgress, () => {});
    if (!isCurrent()) return;
    card.showState('read');
    card.showRead(result, kvBytesPerToken());
    card.showReadText(document_.text);
    say(`${document_.name} has been read. ${$('document-state').textContent}.`);
  } catch (failure) {
    if (isCurrent()) showReadFailure(document_, failure);
  }
}

// A count from a sample may be some percent off: the server has the last word.
function tooLong(counted) { return context() > 0 && counted.tokens > context() * (counted.exact ? 1 : 1.1); }

// Room for the question, the answer and a chat template's own marks.
function room() { return Math.max(Math.floor(context() / 2), context() - Math.max(160, Math.floor(context() / 10))); }

function showTooLong(counted) {
  card.showState('failed');
  $('progress').value = 0;
  $('document-state').textContent = '';
  const sentence = `Too long: the text has ${counted.exact ? '' : 'about '}${tokens(counted.tokens)}, and the server’s context holds ` +
    `${count(context())}. A server started with a larger -c holds more, as far as the model can.`;
  card.showProblem(sentence);
  card.showActions('', `Read only the first ${count(room())} tokens or so`);
  say(sentence);
}

function showReadFailure(document_, failure) {
  card.showState('failed');
  if (!$('progress').hasAttribute('value')) $('progress').value = 0;
  if (failure.kind === 'stopped') {
    const { progress } = document_;
    $('document-state').textContent = progress ? `Stopped: ${count(progress.processed)} of ${tokens(progress.total)} read` : 'Stopped';
    card.showActions('Read on', '');
    say('Stopped reading.');
    return;
  }
  const sentence = explain(failure);
  card.showProblem(sentence);
  const cut = failure.error?.n_ctx > 0 && document_.counted;
  card.showActions('Read again', cut ? `Read only the first ${count(room())} tokens or so` : '');
  say(sentence);
  noteFailure(failure);
}

function shorten() {
  const { name, text, counted } = current;
  openDocument({ name, text: texts.beginning(text, counted.tokens, room()), note: 'the beginning only' });
}

async function openFile(file) {
  try {
    const document_ = await texts.fromFile(file);
    if (document_.text.trim() === '') throw new Error(`${file.name} is empty.`);
    openDocument(document_);
  } catch (error) {
    $('notice').textContent = error.message;
    $('notice').hidden = false;
    say(error.message);
  }
}

// ---- questions

async function ask() {
  const question = $('question').value.trim();
  if (question === '' || turns.some((turn) => turn.running)) return;
  const text = current?.text ?? '';
  const earlier = $('remember').checked ? turns.filter((turn) => turn.text === text && turn.answer.trim() !== '') : [];
  const turn = { question, answer: '', text, running: true };
  turns.push(turn);
  const view = new TurnView($('turns'), question);
  document.body.dataset.view = 'document';
  $('clear').hidden = false;
  $('hint').hidden = true;
  $('question').value = '';
  follow(true);
  await run((signal) => answer(turn, earlier, view, signal));
}

async function answer(turn, earlier, view, signal) {
  try {
    if (current?.reading) {
      view.wait('The answer comes when the text has been read.');
      await current.reading;
    }
    await untilReady(signal, (sentence) => view.wait(sentence));
    view.wait('Thinking…');
    const parts = { text: turn.text, turns: earlier, question: turn.question, settings };
    const result = await complete(hasTemplate(), parts, signal, (progress) => view.progress(progress), (piece, pace) => {
      turn.answer += piece;
      const atEnd = nearEnd();
      view.append(piece, pace);
      follow(atEnd);
    });
    const atEnd = nearEnd();
    view.end(result, kvBytesPerToken());
    follow(atEnd);
    say(turn.answer.trim() === '' ? 'The model gave no answer.' : `Answer: ${turn.answer}`);
  } catch (failure) {
    const atEnd = nearEnd();
    showAnswerFailure(turn, view, failure);
    follow(atEnd);
  } finally {
    turn.running = false;
  }
}

function showAnswerFailure(turn, view, failure) {
  if (failure.kind === 'stopped') {
    view.stopped();
    say('Stopped.');
    return;
  }
  turns = turns.filter((other) => other !== turn);  // what failed is no part of the conversation
  view.fail(explain(failure));
  if ($('question').value === '') $('question').value = turn.question;
  say(explain(failure));
  noteFailure(failure);
}

// The answer's end stays in view as long as the reader has not scrolled away from it.
function hiddenBehindComposer() { return $('turns').getBoundingClientRect().bottom - $('composer').getBoundingClientRect().top; }
function nearEnd() { return hiddenBehindComposer() < 60; }
function follow(wanted) {
  if (wanted && hiddenBehindComposer() > 0) window.scrollBy(0, hiddenBehindComposer());
}

function clearTurns() {
  stop();
  turns = [];
  $('turns').replaceChildren();
  $('hint').hidden = false;
  $('clear').hidden = true;
  if (current === null) document.body.dataset.view = 'empty';
  $('question').focus();
}

// ---- the mask pictures: a page of the server's own

function openMasks() {
  if ($('masks').open && !$('masks-some').hidden && !$('masks-frame').hasAttribute('src')) $('masks-frame').src = '/mask';
}

// ---- events

function onKeyDown(event) {
  if (event.key === 'Escape' && running.size > 0 && !$('paste-dialog').open) {
    event.preventDefault();
    stop();
  } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && event.target === $('question')) {
    event.preventDefault();
    ask();
  }
}

function startDropping() {
  let depth = 0;  // dragenter and dragleave come for every element on the way
  const carriesFile = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  const show = (change) => {
    depth = Math.max(0, depth + change);
    $('drop').hidden = depth === 0;
  };
  document.addEventListener('dragenter', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    show(1);
  });
  document.addEventListener('dragleave', (event) => { if (carriesFile(event)) show(-1); });
  document.addEventListener('dragover', (event) => { if (carriesFile(event)) event.preventDefault(); });
  document.addEventListener('drop', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    show(-depth);
    if (event.dataTransfer.files.length > 0) openFile(event.dataTransfer.files[0]);
  });
}

function startPasting() {
  const openPasted = (text) => { if (text.trim() !== '') openDocument(texts.fromPaste(text)); };
  $('paste').addEventListener('click', () => $('paste-dialog').showModal());
  $('paste-cancel').addEventListener('click', () => $('paste-dialog').close());
  $('paste-form').addEventListener('submit', () => {
    const text = $('paste-text').value;
    $('paste-text').value = '';
    setTimeout(() => openPasted(text));  // once the dialog has given the focus back
  });
  document.addEventListener('paste', (event) => {
    if (event.target.closest?.('input, textarea')) return;
    if (event.clipboardData.files.length > 0) openFile(event.clipboardData.files[0]);
    else openPasted(event.clipboardData.getData('text/plain'));
  });
}

function start() {
  startSettings(watchServer);
  startDropping();
  startPasting();
  document.addEventListener('keydown', onKeyDown);
  $('choose').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', () => {
    if ($('file').files.length > 0) openFile($('file').files[0]);
    $('file').value = '';
  });
  $('example').addEventListener('click', () => openDocument(texts.example()));
  $('remove').addEventListener('click', closeDocument);
  $('again').addEventListener('click', read);
  $('shorten').addEventListener('click', shorten);
  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    ask();
  });
  $('stop').addEventListener('click', stop);
  $('clear').addEventListener('click', clearTurns);
  $('masks').addEventListener('toggle', openMasks);
  if (/Mac|iPhone|iPad/.test(navigator.platform)) document.querySelector('.keys kbd').textContent = '⌘';
  watchServer();
}

start();
