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

// Lines as tools/demo.sh makes them. `salt` makes texts that share no beginning, so that one test's cache is no other's.
export function linesText(lines, salt) {
  const first = ['amber', 'brisk', 'cedar', 'dusty', 'eager', 'frost', 'golden', 'humble', 'ivory', 'jolly', 'keen', 'lunar', 'mellow', 'noble',
    'olive', 'proud', 'quiet', 'rustic', 'solar', 'tidy'];
  const second = ['anchor', 'basket', 'candle', 'desert', 'engine', 'forest', 'garden', 'harbor', 'island', 'jacket', 'kettle', 'ladder',
    'market', 'needle', 'orchard', 'pocket', 'river', 'saddle', 'temple', 'valley'];
  let state = salt * 7919 + 17;
  const below = (limit) => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return Math.floor(state / 65536) % limit;
  };
  const values = new Map();
  while (values.size < lines) {
    const key = `${first[below(20)]}-${second[below(20)]}`;
    if (!values.has(key)) values.set(key, 10000 + below(20000) + below(20000) + below(20000));
  }
  const line = (key) => `line ${key}: REGISTER_CONTENT is <${values.get(key)}>`;
  const keys = [...values.keys()];
  return { text: keys.map((key) => `${line(key)}\n`).join(''), keys, line, question: (key) => `What is the REGISTER_CONTENT in line ${key}?` };
}

// The value of one line of /metrics.
export async function metric(url, name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
  if (!line) throw new Error(`/metrics has no ${name}`);
  return Number(line.slice(name.length));
}

