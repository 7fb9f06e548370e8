// The page in headless Chromium, as its tests use it.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import puppeteer from 'puppeteer-core';

const kPrograms = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const kPatienceMs = 60000;

export async function launch() {
  const executablePath = process.env.CHROMIUM ?? kPrograms.find((program) => existsSync(program));
  assert.ok(executablePath, 'no Chromium found: name one in CHROMIUM');
  // No sandbox: inside containers there is none to be had, and the pages are our own.
  return puppeteer.launch({ executablePath, args: ['--no-sandbox', '--headless=new', '--disable-dev-shm-usage'] });
}

// An open page that remembers what went wrong on it.
export class TestPage {
  static async open(browser, url, { width = 1280, height = 860, scheme = 'light', path = '/', ready = true } = {}) {
    const page = new TestPage();
    // A context of its own: no cache and no storage of an earlier test.
    page.context = await browser.createBrowserContext();
    page.tab = await page.context.newPage();
    page.tab.setDefaultTimeout(kPatienceMs);
    page.url = url;
    page.faults = [];
    page.watch();
    await page.tab.setViewport({ width, height, isMobile: width < 600, deviceScaleFactor: width < 600 ? 2 : 1 });
    await page.tab.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.tab.goto(url + path);
    if (ready) await page.server('ready');
    return page;
  }

  watch() {
    this.tab.on('pageerror', (error) => this.faults.push(`error: ${error.message}`));
    this.tab.on('console', (message) => {
      if (['error', 'warn', 'warning'].includes(message.type())) this.faults.push(`console: ${message.text()}`);
    });
    this.tab.on('request', (request) => {
      const target = request.url();
      if (!target.startsWith(this.url) && !target.startsWith('data:')) this.faults.push(`request to ${target}`);
    });
  }

  // Ends the test of this page: nothing went wrong but what is expected.
  async close(expected = /^$/) {
    await this.context.close();
    assert.deepEqual(this.faults.filter((fault) => !expected.test(fault)), []);
  }

  async drop(name, text) {
    await this.tab.evaluate((fileName, content) => {
      const data = new DataTransfer();
      data.items.add(new File([content], fileName, { type: 'text/plain' }));
      for (const type of ['dragenter', 'dragover', 'drop']) {
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
      }
    }, name, text);
  }

  server(state) { return this.tab.waitForSelector(`#server[data-state="${state}"]`); }
  card(state) { return this.tab.waitForSelector(`#card[data-state="${state}"]`); }
  shown(selector) { return this.tab.waitForSelector(selector, { visible: true }); }
  text(selector) { return this.tab.$eval(selector, (element) => element.textContent); }
  focused() { return this.tab.evaluate(() => document.activeElement.id); }

  async ask(question) {
    await this.tab.focus('#question');
    await this.tab.$eval('#question', (box) => { box.value = ''; });
    await this.tab.keyboard.type(question);
    await this.tab.keyboard.down('Control');
    await this.tab.keyboard.press('Enter');
    await this.tab.keyboard.up('Control');
  }

  // The last question's answer, once it has ended.
  async answer() {
    await this.tab.waitForFunction(() => document.querySelector('.turn') !== null && document.querySelector('.turn.running') === null);
    return this.tab.evaluate(() => {
      const turn = [...document.querySelectorAll('.turn')].pop();
      const pairs = [...turn.querySelectorAll('.figures div')].map((pair) => [pair.firstChild.textContent, pair.lastChild.textContent]);
      const problem = turn.querySelector('.problem');
      return {
        text: turn.querySelector('.answer').textContent, figures: Object.fromEntries(pairs),
        problem: problem.hidden ? '' : problem.textContent, remark: turn.querySelector('.remark')?.textContent ?? '',
      };
    });
  }

  async shot(name) {
    const folder = process.env.DAMASK_SHOTS;
    if (!folder) return;
    mkdirSync(folder, { recursive: true });
    await this.tab.screenshot({ path: `${folder}/${name}.png` });
  }
}

export const number = (text) => Number(text.replace(/[^0-9.]/g, ''));
