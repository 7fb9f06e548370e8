// What the tests share: addresses of the servers, texts with known answers, waiting for conditions.
const kPatienceMs = 60000;

// run.sh starts the servers and names them; a test without its server fails rather than passing unseen.
export function serverUrl(name) {
  const url = process.env[name];
  if (!url) throw new Error(`${name} is not set: start these tests with tests/clients/run.sh`);
  return url;
}

export async function until(what, condition) {
  const end = Date.now() + kPatienceMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${kPatienceMs / 1000} s in vain for: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}

export async function idle(url, headers = {}) {
  await until('no slot to be busy', async () => {
    const slots = await (await fetch(`${url}/slots`, { headers })).json();
    return slots.every((slot) => !slot.is_processing);
  });
}

// Lines as tools/demo.sh makes them, at most 400. `salt` makes texts that share no beginning, so that one test's cache is no other's.
export function linesText(lines, salt) {
  const first = ['amber', 'brisk', 'cedar', 'dusty', 'eager', 'frost', 'golden', 'humble', 'ivory', 'jolly', 'keen', 'lunar', 'mellow', 'noble',
    'olive', 'proud', 'quiet', 'rustic', 'solar', 'tidy'];
  const second = ['anchor', 'basket', 'candle', 'desert', 'engine', 'forest', 'garden', 'harbor', 'island', 'jacket', 'kettle', 'ladder',
    'market', 'needle', 'orchard', 'pocket', 'river', 'saddle', 'temple', 'valley'];
  // Mulberry32: 32 bits of state, whole cycle.
  let state = salt;
  const below = (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
  const values = new Map();
  while (values.size < lines) {
    const key = `${first[below(20)]}-${second[below(20)]}`;
    if (!values.has(key)) values.set(key, 10000 + below(90000));
  }
  const line = (key) => `line ${key}: REGISTER_CONTENT is <${values.get(key)}>`;
  const keys = [...values.keys()];
  return { text: keys.map((key) => `${line(key)}\n`).join(''), keys, line, question: (key) => `What is the REGISTER_CONTENT in line ${key}?` };
}

