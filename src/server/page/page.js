// The page: a text is read once, then questions are asked about it. This file holds what is going on and ties the parts
// together.
import * as card from './page_card.js';
import { complete } from './page_completion.js';
import * as texts from './page_document.js';
import { startInputs } from './page_input.js';
import { readDocument, room } from './page_reading.js';
import { explain } from './page_server.js';
import { settings, startSettings } from './page_settings.js';
import { TurnView } from './page_turn.js';
import { hasTemplate, kvBytesPerToken, noteFailure, openMasks, say, untilReady, watchServer } from './page_watch.js';

const $ = (id) => document.getElementById(id);

// {name, text, note, tokens, reading: a promise while it is being read}
let current = null;
let turns = [];            // {question, answer, text: the document's}
const running = new Set();  // AbortControllers

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
  const reading = run((signal) => readDocument(document_, () => current === document_, signal));
  document_.reading = reading.finally(() => { document_.reading = null; });
}

function shorten() {
  const { name, text, counted } = current;
  openDocument({ name, text: texts.beginning(text, counted.tokens, room()), note: 'the beginning only' });
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
      if (!pace.thoughts) turn.answer += piece;
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
function hiddenBehindComposer() {
  return $('turns').getBoundingClientRect().bottom - $('composer').getBoundingClientRect().top;
}
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

function start() {
  startSettings(watchServer);
  startInputs(openDocument);
  document.addEventListener('keydown', onKeyDown);
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
