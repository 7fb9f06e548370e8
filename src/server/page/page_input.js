// The ways in: a file that is dropped or chosen, a text that is pasted, an example.
import { example, fromFile, fromPaste } from './page_document.js';
import { say } from './page_watch.js';

const $ = (id) => document.getElementById(id);

async function openFile(file, open) {
  try {
    const document_ = await fromFile(file);
    if (document_.text.trim() === '') throw new Error(`${file.name} is empty.`);
    open(document_);
  } catch (error) {
    $('notice').textContent = error.message;
    $('notice').hidden = false;
    say(error.message);
  }
}

function startDropping(open) {
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
    if (event.dataTransfer.files.length > 0) openFile(event.dataTransfer.files[0], open);
  });
}

function startPasting(open) {
  const openPasted = (text) => { if (text.trim() !== '') open(fromPaste(text)); };
  $('paste').addEventListener('click', () => $('paste-dialog').showModal());
  $('paste-cancel').addEventListener('click', () => $('paste-dialog').close());
  $('paste-form').addEventListener('submit', () => {
    const text = $('paste-text').value;
    $('paste-text').value = '';
    setTimeout(() => openPasted(text));  // once the dialog has given the focus back
  });
  document.addEventListener('paste', (event) => {
    if (event.target.closest?.('input, textarea')) return;
    if (event.clipboardData.files.length > 0) openFile(event.clipboardData.files[0], open);
    else openPasted(event.clipboardData.getData('text/plain'));
  });
}

// `open` is called with each document.
export function startInputs(open) {
  startDropping(open);
  startPasting(open);
  $('choose').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', () => {
    if ($('file').files.length > 0) openFile($('file').files[0], open);
    $('file').value = '';
  });
  $('example').addEventListener('click', () => open(example()));
}
