// What can be set, kept for this tab only: an API key has no place on a disk.
import { setApiKey } from './page_server.js';

const $ = (id) => document.getElementById(id);
const kName = 'damask';

export const settings = { temperature: 0, maxTokens: 0, key: '', remember: null, oneLine: true };

function load() {
  try {
    Object.assign(settings, JSON.parse(sessionStorage.getItem(kName) ?? '{}'));
  } catch {
    // A browser may forbid it; nothing is lost but the memory.
  }
}

function save() {
  try {
    sessionStorage.setItem(kName, JSON.stringify(settings));
  } catch {
    // As above.
  }
}

function readForm() {
  const temperature = Number($('temperature').value);
  if ($('temperature').checkValidity()) settings.temperature = temperature;
  if ($('max-tokens').checkValidity()) settings.maxTokens = Number($('max-tokens').value);
  settings.key = $('key').value.trim();
  settings.oneLine = $('one-line').checked;
  setApiKey(settings.key);
  save();
}

// onKey is called when a key has been given.
export function startSettings(onKey) {
  load();
  $('temperature').value = String(settings.temperature);
  $('max-tokens').value = settings.maxTokens > 0 ? String(settings.maxTokens) : '';
  $('key').value = settings.key;
  $('one-line').checked = settings.oneLine;
  setApiKey(settings.key);
  $('settings-form').addEventListener('input', readForm);
  $('remember').addEventListener('change', () => {
    settings.remember = $('remember').checked;
    save();
  });
  $('key').addEventListener('change', onKey);
  // A form without a button is not submitted by Enter.
  $('key').addEventListener('keydown', (event) => {
    if (event.key === 'Enter') onKey();
  });
  $('settings-form').addEventListener('submit', (event) => event.preventDefault());
}

// A model without a chat template was not trained on conversations: earlier turns go along only when asked for, and an answer
// ends with its line.
export function adaptSettings(hasTemplate) {
  $('remember').checked = settings.remember ?? hasTemplate;
  $('one-line-label').hidden = hasTemplate;
}

export function askForKey() {
  $('settings').open = true;
  $('key').focus();
}
