// One question and its answer on the page. Whatever a model says is shown as text, never as HTML.
import * as figures from './page_figures.js';

export class TurnView {
  constructor(list, question) {
    const template = document.getElementById('turn-template');
    this.article = template.content.firstElementChild.cloneNode(true);
    this.part('question').textContent = question;
    this.text = document.createTextNode('');
    this.part('answer').append(this.text);
    this.thoughts = document.createTextNode('');
    this.part('thoughts > div').append(this.thoughts);
    this.article.classList.add('running');
    list.append(this.article);
  }

  part(name) { return this.article.querySelector(`.${name}`); }

  wait(sentence) { this.part('waiting').textContent = sentence; }

  progress({ processed, total }) {
    this.wait(`Reading: ${figures.count(processed)} of ${figures.tokens(total)}`);
  }

  append(piece, { pieces, seconds, thoughts }) {
    this.wait(thoughts ? 'Thinking…' : '');
    if (thoughts) this.part('thoughts').hidden = false;
    (thoughts ? this.thoughts : this.text).appendData(piece);
    if (pieces > 1 && seconds > 0.3) this.showFigures([['tokens/s', figures.rate((pieces - 1) / seconds)]]);
  }

  end(result, kvBytesPerToken) {
    this.wait('');
    this.article.classList.remove('running');
    this.showFigures(answerFigures(result, kvBytesPerToken));
    if (this.text.data.trim() === '') this.remark('The model ended its answer without a word.');
    else if (result.finish === 'length') this.remark('Cut off here: no more was allowed, or no more fits.');
  }

  stopped() {
    this.wait('');
    this.article.classList.remove('running');
    this.remark('Stopped.');
  }

  fail(sentence) {
    this.wait('');
    this.article.classList.remove('running');
    const problem = this.part('problem');
    problem.textContent = sentence;
    problem.hidden = false;
  }

  remark(sentence) {
    const remark = document.createElement('p');
    remark.className = 'remark';
    remark.textContent = sentence;
    this.part('answer').after(remark);
  }

  showFigures(pairs) {
    const list = this.part('figures');
    list.replaceChildren(...pairs.map(([term, value]) => {
      const pair = document.createElement('div');
      const name = document.createElement('dt');
      const number = document.createElement('dd');
      name.textContent = term;
      number.textContent = value;
      pair.append(name, number);
      return pair;
    }));
  }
}

function answerFigures(result, kvBytesPerToken) {
  const usage = result.usage ?? {};
  const pairs = [];
  if (usage.completion_tokens > 0) pairs.push(['answer', figures.tokens(usage.completion_tokens)]);
  if (result.tokensPerSecond !== null) pairs.push(['tokens/s', figures.rate(result.tokensPerSecond)]);
  if (result.firstTokenSeconds !== null) pairs.push(['first token', figures.seconds(result.firstTokenSeconds)]);
  if (usage.prompt_tokens > 0) pairs.push(['prompt', figures.count(usage.prompt_tokens)]);
  const cached = usage.prompt_tokens_details?.cached_tokens;
  if (Number.isFinite(cached)) pairs.push(['from the cache', figures.count(cached)]);
  if (kvBytesPerToken > 0 && usage.prompt_tokens > 0) {
    pairs.push(['memory', figures.bytes(kvBytesPerToken * (usage.prompt_tokens + (usage.completion_tokens ?? 0)))]);
  }
  if (Number.isFinite(usage.attention_density)) pairs.push(['density', figures.percent(usage.attention_density)]);
  if (Number.isFinite(usage.attention_recall)) pairs.push(['recall', figures.percent(usage.attention_recall)]);
  return pairs;
}
