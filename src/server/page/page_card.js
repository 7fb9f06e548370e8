// The document's card: its name, how far it has been read, and the text itself, whose ink shows what the server has read.
import * as figures from './page_figures.js';

const kShown = 24000;  // characters of a long text around the place that is being read

const $ = (id) => document.getElementById(id);

export function showText(text, share) {
  const front = Math.round(text.length * share);
  const start = Math.max(0, Math.min(front - kShown / 2, text.length - kShown));
  const end = Math.min(text.length, start + kShown);
  const middle = Math.min(Math.max(front, start), end);
  $('text-read').textContent = (start > 0 ? '…' : '') + text.slice(start, middle);
  $('text-unread').textContent = text.slice(middle, end) + (end < text.length ? '…' : '');
}

// A text that has been read, from its beginning.
export function showReadText(text) {
  const whole = text.length <= 4 * kShown;
  $('text-read').textContent = whole ? text : `${text.slice(0, 4 * kShown)}…\n\nThe rest has been read as well.`;
  $('text-unread').textContent = '';
  $('text').scrollTop = 0;
}

// Keeps the place that is being read in the lower half of the box.
export function followText() {
  const box = $('text');
  const ends = $('text-read').getClientRects();
  if (ends.length === 0) return;
  const below = ends[ends.length - 1].bottom - box.getBoundingClientRect().top;
  box.scrollTop += below - 0.7 * box.clientHeight;
}

export function describe(document_, lines, counted) {
  const parts = [figures.bytes(new Blob([document_.text]).size), `${figures.count(lines)} ${lines === 1 ? 'line' : 'lines'}`];
  if (counted) parts.push(`${counted.exact ? '' : 'about '}${figures.tokens(counted.tokens)}`);
  if (document_.note !== '') parts.push(document_.note);
  $('document-meta').textContent = parts.join(' · ');
}

export function showProgress(progress, meter) {
  $('progress').max = Math.max(1, progress.total);
  $('progress').value = progress.processed;
  const perSecond = meter.perSecond();
  const parts = [`${figures.count(progress.processed)} of ${figures.tokens(progress.total)}`];
  if (perSecond > 0) {
    parts.push(`${figures.rate(perSecond)} tokens/s`);
    const left = progress.total - progress.processed;
    if (left > 0) parts.push(`${figures.about(left / perSecond)} left`);
  }
  $('document-state').textContent = parts.join(' · ');
}

export function showRead(result, kvBytesPerToken) {
  const usage = result.usage ?? {};
  const tokens = usage.prompt_tokens ?? 0;
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  $('progress').max = 1;
  $('progress').value = 1;
  const parts = [`Read in ${figures.seconds(result.seconds)}`];
  if (cached > 0) parts.push(`${figures.count(cached)} of ${figures.tokens(tokens)} from the cache`);
  else if (tokens > 0) parts.push(`${figures.rate(tokens / result.seconds)} tokens/s`);
  if (tokens > 0 && kvBytesPerToken > 0) parts.push(`${figures.bytes(tokens * kvBytesPerToken)} of memory`);
  if (Number.isFinite(usage.attention_density)) parts.push(`density ${figures.percent(usage.attention_density)}`);
  if (Number.isFinite(usage.attention_recall)) parts.push(`recall ${figures.percent(usage.attention_recall)}`);
  $('document-state').textContent = parts.join(' · ');
}

export function showProblem(sentence) {
  $('document-problem').textContent = sentence;
  $('document-problem').hidden = sentence === '';
}

const kHints = {
  reading: 'Ask while it is being read: the answer comes as soon as it can.',
  read: 'Ask as often as you like. Only the question is read from now on.',
  failed: '',
};

// 'reading', 'read' or 'failed'
export function showState(state) {
  $('card').dataset.state = state;
  $('hint').textContent = kHints[state];
}

// The buttons under a text that is not, or not wholly, read.
export function showActions(again, shorten) {
  $('again').hidden = again === '';
  $('again').textContent = again;
  $('shorten').hidden = shorten === '';
  $('shorten').textContent = shorten;
  $('document-actions').hidden = again === '' && shorten === '';
}
