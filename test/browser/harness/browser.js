// Chromium, and what a person does with it.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const flags = [
  '--no-sandbox', '--autoplay-policy=no-user-gesture-required', '--disable-dev-shm-usage', '--headless=new', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--no-first-run',
];

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** launch starts a browser. kill ends it at once, as a power cut does. */
export async function launch() {
  const server = await chromium.launchServer({ executablePath, headless: true, args: flags });
  const browser = await chromium.connect(server.wsEndpoint());
  return {
    newContext: (options) => browser.newContext({ viewport: { width: 1280, height: 720 }, ...options }),
    kill: () => server.kill(),
    close: () => server.close(),
  };
}

/** What a browser prints by itself when nobody answers; no page can keep it from that. */
export const serviceAway = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED/;

/** open opens a page that notes everything which goes wrong on it. */
export async function open(context, address) {
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && complaints.push(`${m.type()}: ${m.text()} (${m.location().url})`));
  page.on('pageerror', (e) => complaints.push(`uncaught: ${e.stack}`));
  page.on('response', (r) => r.status() >= 400 && complaints.push(`status ${r.status()}: ${r.request().method()} ${r.url()}`));
  // Where the picture first moves: media events do not bubble, and are caught on their way down.
  await page.addInitScript(() => {
    document.addEventListener('playing', (e) => (globalThis.firstPlayed ??= e.target.currentTime), true);
  });
  await page.goto(address);
  return Object.assign(page, {
    /** clean asserts that the page had nothing to complain of but what is excused. */
    clean: (excused = /^\b$/) => assert.deepEqual(complaints.filter((c) => !excused.test(c)), [], 'the browser complains'),
  });
}

/** place returns where the film is, in seconds. */
export const place = (page) => page.evaluate(() => document.querySelector('video').currentTime);

/** playedFrom waits until the film plays and returns where it began, in seconds. */
export async function playedFrom(page) {
  await page.waitForFunction(() => globalThis.firstPlayed !== undefined && document.querySelector('video')?.currentTime > globalThis.firstPlayed);
  return page.evaluate(() => globalThis.firstPlayed);
}

/** playedTo waits until the film has played to a place, in seconds. */
export const playedTo = (page, seconds) =>
  page.waitForFunction((s) => document.querySelector('video')?.currentTime >= s, seconds, { timeout: 60_000 });

let members = 0;

/** signUp makes an account and returns what signs in again. */
export async function signUp(page) {
  const who = { email: `ada${++members}.${process.pid}@example.org`, password: 'correct horse battery' };
  await page.getByRole('link', { name: 'Sign up' }).first().click();
  await fill(page, who, 'Sign up');
  return who;
}

export async function signIn(page, who) {
  await page.getByRole('link', { name: 'Sign in' }).first().click();
  await fill(page, who, 'Sign in');
}

async function fill(page, who, button) {
  await page.getByLabel('E-mail address').fill(who.email);
  await page.getByLabel('Password').fill(who.password);
  await page.getByRole('button', { name: button }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
}

/** watch starts the film from the list. */
export async function watch(page) {
  await page.getByRole('link', { name: /^(Play|Continue) The Clock$/ }).click();
}

/** leave goes from the film back to the list. */
export async function leave(page) {
  await page.mouse.move(200, 200);
  await page.mouse.move(220, 220); // whoever moves sees the controls
  await page.getByRole('link', { name: 'Back to all films' }).click();
}
