// Reads a text: counts its tokens, has the server read them, shows how far it is on the text's card.
import * as card from './page_card.js';
import { complete } from './page_completion.js';
import * as texts from './page_document.js';
import { RateMeter, count, tokens } from './page_figures.js';
import { explain } from './page_server.js';
import { settings } from './page_settings.js';
import { context, hasTemplate, kvBytesPerToken, noteFailure, say, untilReady } from './page_watch.js';

const $ = (id) => document.getElementById(id);

// What goes wrong is shown on the card; nothing is thrown. `isCurrent` says whether the card is still this document's.
export async function readDocument(document_, isCurrent, signal) {
  const meter = new RateMeter();
  document_.progress = null;
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
export function room() { return Math.max(Math.floor(context() / 2), context() - Math.max(160, Math.floor(context() / 10))); }

function showTooLong(counted) {
  card.showState('failed');
  $('progress').value = 0;
  $('document-state').textContent = '';
  const sentence = `Too long: the text has ${counted.exact ? '' : 'about '}${tokens(counted.tokens)}, and the server’s ` +
    `context holds ${count(context())}. A server started with a larger -c holds more, as far as the model can.`;
  card.showProblem(sentence);
  card.showActions('', `Read only the first ${count(room())} tokens or so`);
  say(sentence);
}

function showReadFailure(document_, failure) {
  card.showState('failed');
  if (!$('progress').hasAttribute('value')) $('progress').value = 0;
  if (failure.kind === 'stopped') {
    const { progress } = document_;
    const read = progress ? `: ${count(progress.processed)} of ${tokens(progress.total)} read` : '';
    $('document-state').textContent = `Stopped${read}`;
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
