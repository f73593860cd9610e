// What the pages show, to whom, and how.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { accessible } from './harness/accessible.js';
import { launch, leave, open, place, playedFrom, playedTo, serviceAway, signUp, watch } from './harness/browser.js';
import { makeLibrary } from './harness/library.js';
import { Service } from './harness/service.js';

describe('pages', { timeout: 300_000 }, () => {
  let library;
  let service;
  let browser;

  before(async () => {
    browser = await launch();
    library = await makeLibrary();
  });
  after(async () => {
    await browser?.close();
    await library?.remove();
  });
  beforeEach(() => (service = undefined));
  afterEach(() => service?.close());

  const serve = async (options) => (service = await Service.open({ library: library.data, ...options }));

  test('a fresh service shows the bundled film with its credit, and it plays for a guest', async () => {
    service = await Service.open();
    const page = await open(await browser.newContext(), service.address);
    await page.getByRole('link', { name: /^Play / }).first().click();
    await playedTo(page, 1);
    await page.getByText(/CC.BY/).first().waitFor();
    page.clean();
  });

  test('an empty service says how to add a film', async () => {
    service = await Service.open({ settings: { bundled_films: 'false' } });
    const page = await open(await browser.newContext(), service.address);
    await page.getByText('bijou title add film.mp4').waitFor();
    page.clean();
  });

  for (const colorScheme of ['light', 'dark']) {
    test(`every page is accessible in ${colorScheme} colours, on a telephone and on a desk`, async () => {
      await serve();
      const context = await browser.newContext({ colorScheme });
      const page = await open(context, service.address);
      const film = await page.getByRole('link', { name: 'Play The Clock' }).getAttribute('href');
      for (const width of [320, 1280]) {
        await page.setViewportSize({ width, height: 700 });
        for (const path of ['/', film.replace('watch', 'title'), '/sign-in', '/sign-up', '/nothing-here']) {
          await page.goto(service.address + path);
          await page.locator('main h1, main h2').first().waitFor({ state: 'attached' });
          await page.locator('article, form, section').first().waitFor();
          await accessible(page, `${path} at ${width} px`);
          const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(over <= 0, `${path} is ${over} px wider than a window of ${width} px`);
        }
        await page.goto(service.address + film);
        await playedTo(page, 0.5);
        await page.keyboard.press('k');
        await page.getByRole('button', { name: 'Subtitles' }).click();
        await accessible(page, `player at ${width} px`);
        const beyond = await page.locator('button:visible').evaluateAll((all) => all.filter((b) => b.getBoundingClientRect().right > innerWidth).map((b) => b.outerHTML));
        assert.deepEqual(beyond, [], `buttons beyond the edge of ${width} px`);
      }
      page.clean();
    });
  }

  test('each page has its own title and a reader begins at its head', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    await page.getByRole('link', { name: 'The Clock', exact: true }).click();
    await page.getByRole('heading', { name: 'The Clock' }).waitFor();
    await page.waitForFunction(() => document.title === 'The Clock · Bijou');
    for (const words of ['Time passes.', 'Made by this test.', 'FSK 6', 'Drama', 'English, Deutsch']) await page.getByText(words).waitFor();
    await page.getByRole('link', { name: 'Sign in' }).click();
    await page.waitForFunction(() => document.title === 'Sign in · Bijou' && document.activeElement?.textContent === 'Sign in');
    await page.goBack();
    await page.getByRole('heading', { name: 'The Clock' }).waitFor();
    await page.goto(service.address + '/title/ttl_0000000000000000');
    await page.getByRole('heading', { name: 'There is nothing here' }).waitFor();
    page.clean(/status 404|status of 404/);
  });

  test('a wrong password and a taken address are told in words', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    const who = await signUp(page);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Sign in' }).first().click();
    await page.getByLabel('E-mail address').fill(who.email);
    await page.getByLabel('Password').fill('wrong password');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').filter({ hasText: 'The e-mail address or the password is wrong.' }).waitFor();
    await page.locator('main').getByRole('link', { name: 'Sign up' }).click();
    await page.getByLabel('E-mail address').fill(who.email);
    await page.getByLabel('Password').fill(who.password);
    await page.getByRole('button', { name: 'Sign up' }).click();
    await page.getByRole('alert').filter({ hasText: 'has an account already' }).waitFor();
    page.clean(/status 40[19]|status of 40[19]/);
  });

  test('a page that is opened while the service is away shows the films once it is there again', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await service.end();
    await page.getByRole('link', { name: 'Bijou, all films' }).click();
    await page.getByText('The service does not answer').waitFor();
    await service.start();
    await page.getByRole('link', { name: 'Play The Clock' }).waitFor();
    await page.getByText('The service does not answer').waitFor({ state: 'detached' });
    page.clean(serviceAway);
  });

  test('a browser that lets nothing play by itself shows a button', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    await page.addInitScript(() => {
      const play = HTMLMediaElement.prototype.play;
      let asked = false;
      addEventListener('pointerdown', (e) => (asked = e.isTrusted), true);
      HTMLMediaElement.prototype.play = function () {
        return asked ? play.call(this) : Promise.reject(new DOMException('', 'NotAllowedError'));
      };
    });
    const film = await page.getByRole('link', { name: 'Play The Clock' }).getAttribute('href');
    const facts = [];
    page.on('request', (r) => r.url().endsWith('/api/v1/facts') && facts.push(...JSON.parse(r.postData()).facts));
    await page.goto(service.address + film);
    await page.getByRole('button', { name: 'Play The Clock' }).waitFor();
    const waited = Date.now();
    await page.waitForFunction((t) => Date.now() > t + 4000, waited);
    await page.getByRole('button', { name: 'Play The Clock' }).click();
    await playedTo(page, 1);
    // It is the viewer who was waited for, and nobody is to take this for a film that starts late.
    const kinds = facts.sort((a, b) => a.seq - b.seq).map((f) => f.kind);
    assert.deepEqual(kinds.slice(0, 3), ['start', 'pause', 'first_frame']);
    assert.ok(facts.find((f) => f.kind === 'first_frame').duration_ms < 4000, 'the first frame is timed from the click');
    page.clean();
  });

  test('who leaves before the first picture is reported to have left', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    await page.route('**/*.m4s*', () => {}); // no answer ever comes
    const facts = [];
    page.on('request', (r) => r.url().endsWith('/api/v1/facts') && facts.push(...JSON.parse(r.postData()).facts));
    const film = await page.getByRole('link', { name: 'Play The Clock' }).getAttribute('href');
    const asked = page.waitForRequest((r) => r.url().includes('.m4s'));
    await page.goto(service.address + film);
    await asked;
    await leave(page);
    await page.getByRole('heading', { name: 'Films' }).waitFor();
    for (const end = Date.now() + 10_000; Date.now() < end && facts.length < 2;) await page.evaluate(() => 0);
    assert.deepEqual(facts.map((f) => `${f.kind} at ${f.position_ms}`), ['start at 0', 'end at 0']);
  });

  test('a browser without Media Source Extensions plays the HLS playlist by itself, from the same place', async () => {
    await serve();
    const context = await browser.newContext();
    const page = await open(context, service.address);
    await watch(page);
    await playedTo(page, 5);
    const left = await place(page);
    await page.close();
    await context.addInitScript(() => {
      delete globalThis.MediaSource;
      delete globalThis.ManagedMediaSource;
    });
    const again = await open(context, service.address);
    await watch(again);
    const from = await playedFrom(again);
    assert.ok(Math.abs(from - left) <= 1, `left at ${left} s, goes on at ${from} s, want at most 1 s between`);
    assert.match(await again.evaluate(() => document.querySelector('video').currentSrc), /master\.m3u8$/);
    again.clean();
  });

  test('the player\'s library is fetched by the page that plays alone', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    const scripts = [];
    page.on('request', (r) => r.resourceType() === 'script' && scripts.push(r.url()));
    await page.goto(service.address);
    await page.getByRole('link', { name: 'Play The Clock' }).waitFor();
    assert.equal(scripts.filter((s) => /shaka/.test(s)).length, 0, `${scripts}`);
    await watch(page);
    await playedTo(page, 0.5);
    assert.equal(scripts.filter((s) => /shaka/.test(s)).length, 1, `${scripts}`);
    page.clean();
  });
});
