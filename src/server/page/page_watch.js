// The server as it is now: looked after, shown in the page's head, waited for.
import { count } from './page_figures.js';
import { Failure, getJson } from './page_server.js';
import { adaptSettings, askForKey, settings } from './page_settings.js';

const $ = (id) => document.getElementById(id);

const server = { state: 'connecting', props: null };

// For those who do not see the page.
export function say(sentence) { $('status').textContent = sentence; }

export function hasTemplate() { return Boolean(server.props?.chat_template); }
export function context() { return server.props?.default_generation_settings?.n_ctx ?? server.props?.n_ctx ?? 0; }
export function kvBytesPerToken() { return server.props?.memory?.kv_bytes_per_token ?? 0; }

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
  const wrong = settings.key !== '';
  showServer('locked', `${wrong ? 'The API key is not the server’s' : 'The server wants an API key'}: see Settings`);
}

// Looks after the server: often while it is not there, now and then while it is.
let watcher = 0;
export async function watchServer() {
  clearTimeout(watcher);
  const mine = watcher = setTimeout(() => {}, 0);  // of several that overlap only the last goes on
  try {
    await getJson('/health');
    // Every time: after a restart it may be another model.
    server.props = await getJson('/props');
    showReady(server.props);
  } catch (failure) {
    showServerFailure(failure);
  }
  if (mine !== watcher) return;
  const pause = server.state === 'ready' ? 10000 : server.state === 'locked' ? 30000 : 1000;
  watcher = setTimeout(watchServer, pause);
}

// Returns when the server can be asked; until then `wait` is told what is being waited for.
export function untilReady(signal, wait) {
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

// A failed request may be the first to know.
export function noteFailure(failure) {
  if (failure.kind === 'gone') watchServer();
  if (failure.status === 401) showServerFailure(failure);
}

// The mask pictures are a page of the server's own, loaded when they are wanted.
export function openMasks() {
  if ($('masks').open && !$('masks-some').hidden && !$('masks-frame').hasAttribute('src')) $('masks-frame').src = '/mask';
}
