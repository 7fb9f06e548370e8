// Numbers for people, and how fast something is going.
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function count(value) { return whole.format(value); }

export function tokens(value) { return `${count(value)} ${value === 1 ? 'token' : 'tokens'}`; }

export function rate(perSecond) { return perSecond < 100 ? tenths.format(perSecond) : count(perSecond); }

export function percent(share) { return `${tenths.format(100 * share)}%`; }

export function seconds(value) {
  if (value < 1) return `${count(1000 * value)} ms`;
  if (value < 100) return `${tenths.format(value)} s`;
  return about(value);
}

// For what is only guessed: no tenths.
export function about(value) {
  if (value < 60) return `${Math.max(1, Math.round(value))} s`;
  const minutes = Math.round(value / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// In powers of ten, as damask's other messages.
export function bytes(value) {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (value >= 999.5 && unit + 1 < units.length) {
    value /= 1000;
    ++unit;
  }
  return `${unit === 0 || value >= 99.95 ? count(value) : tenths.format(value)} ${units[unit]}`;
}

// Tokens per second over the last few reports: reading gets slower as a text gets longer, so the mean of all would promise an
// end that is too early.
export class RateMeter {
  constructor() { this.reports = []; }

  add(progress) {
    if (this.reports.length === 0) this.reports.push({ at: 0, done: progress.cache ?? 0 });
    this.reports.push({ at: progress.time_ms / 1000, done: progress.processed });
    if (this.reports.length > 8) this.reports.shift();
  }

  perSecond() {
    if (this.reports.length < 2) return 0;
    const from = this.reports[0];
    const to = this.reports[this.reports.length - 1];
    return to.at > from.at ? (to.done - from.done) / (to.at - from.at) : 0;
  }
}
