// What a person does, from the first visit to going on after a restart.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { launch, leave, open, place, playedFrom, playedTo, serviceAway, signIn, signUp, watch } from './harness/browser.js';
import { makeLibrary } from './harness/library.js';
import { Service } from './harness/service.js';

describe('watching', { timeout: 600_000 }, () => {
  let library;
  let service;
  let browser;

  before(async () => (library = await makeLibrary()));
  after(() => library?.remove());
  beforeEach(async () => (browser = await launch()));
  afterEach(async () => {
    await browser.close();
    await service?.close();
    service = undefined;
  });

  const serve = async (settings) => (service = await Service.open({ library: library.data, settings }));

  test('who signs up goes on where they were, after the page was closed and the service restarted', async () => {
    await serve();
    const context = await browser.newContext();
    const page = await open(context, service.address);
    await signUp(page);
    await watch(page);
    const began = await playedFrom(page);
    assert.ok(began < 1, `a new film begins at ${began} s, want its start`);
    await playedTo(page, began + 10);
    const left = await place(page);
    page.clean();
    await page.close();
    await service.restart();
    const again = await open(context, service.address);
    await again.getByRole('heading', { name: 'Continue watching' }).waitFor();
    await watch(again);
    const from = await playedFrom(again);
    assert.ok(Math.abs(from - left) <= 1, `left at ${left} s, goes on at ${from} s, want at most 1 s between`);
    again.clean();
  });

  test('a killed browser loses at most five seconds', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    const who = await signUp(page);
    await watch(page);
    await playedTo(page, 10);
    page.clean();
    const left = await place(page);
    await browser.kill();
    await service.restart();
    browser = await launch();
    const again = await open(await browser.newContext(), service.address);
    await signIn(again, who);
    await watch(again);
    const from = await playedFrom(again);
    assert.ok(from <= left + 1 && from >= left - 5, `killed at ${left} s, goes on at ${from} s, want at most 5 s before`);
    again.clean();
  });

  test('kill -9 of the service in the middle of a play: the play goes on, and the place is kept', async () => {
    await serve();
    const context = await browser.newContext();
    const page = await open(context, service.address);
    await signUp(page);
    await watch(page);
    await playedTo(page, 5);
    await service.end('SIGKILL');
    // Nowhere near what is buffered: the picture has to wait for the service.
    await page.evaluate(() => (document.querySelector('video').currentTime = 100));
    await page.getByText('The service does not answer').waitFor();
    // Long enough that the player's library has given up by itself.
    const away = Date.now();
    await page.waitForFunction((t) => Date.now() > t + 8000, away);
    await service.start();
    await playedTo(page, 103);
    assert.equal(await page.getByText('The service does not answer').count(), 0);
    const left = await place(page);
    await leave(page);
    await page.getByRole('heading', { name: 'Continue watching' }).waitFor();
    page.clean(serviceAway);
    await page.close();
    const again = await open(context, service.address);
    await watch(again);
    const from = await playedFrom(again);
    assert.ok(Math.abs(from - left) <= 1, `left at ${left} s, goes on at ${from} s, want at most 1 s between`);
    again.clean();
  });

  test('a place that is reached while the service is away is reported once it is there again, even by a later visit', async () => {
    await serve();
    const context = await browser.newContext();
    const page = await open(context, service.address);
    await signUp(page);
    await watch(page);
    await playedTo(page, 3);
    await service.end();
    await playedTo(page, 12); // from the buffer
    const left = await place(page);
    page.clean(serviceAway);
    await page.close();
    await service.start();
    const again = await open(context, service.address);
    await watch(again);
    const from = await playedFrom(again);
    assert.ok(Math.abs(from - left) <= 1, `left at ${left} s, goes on at ${from} s, want at most 1 s between`);
    again.clean();
  });

  test('a guest goes on where they were, and takes the place along when they sign up', async () => {
    await serve();
    const context = await browser.newContext();
    const page = await open(context, service.address);
    await watch(page);
    await playedTo(page, 6);
    const left = await place(page);
    page.clean();
    await page.close();
    const again = await open(context, service.address);
    await watch(again);
    const from = await playedFrom(again);
    assert.ok(Math.abs(from - left) <= 1, `left at ${left} s, goes on at ${from} s, want at most 1 s between`);
    await leave(again);
    const who = await signUp(again);
    again.clean();
    // On another machine, where nothing is remembered.
    const elsewhere = await open(await browser.newContext(), service.address);
    await signIn(elsewhere, who);
    await watch(elsewhere);
    const there = await playedFrom(elsewhere);
    assert.ok(there >= from && there <= from + 10, `the guest was at ${from} s, the member goes on at ${there} s`);
    elsewhere.clean();
  });

  test('a film that was paused until its grant ended goes on without a word', async () => {
    await serve({ 'playback.grant_term': '10s' });
    const page = await open(await browser.newContext(), service.address);
    const renewals = [];
    page.on('request', (r) => r.url().endsWith('/plays/renewals') && renewals.push(Date.now()));
    await watch(page);
    await playedTo(page, 2);
    await page.keyboard.press('k');
    const paused = Date.now();
    await page.waitForFunction((t) => Date.now() > t + 13_000, paused, { timeout: 30_000 });
    await page.keyboard.press('k');
    await page.evaluate(() => (document.querySelector('video').currentTime = 120));
    await playedTo(page, 123);
    assert.ok(renewals.some((t) => t > paused + 10_000), 'the grant ended and was not renewed');
    page.clean();
  });

  test('subtitles show the words of their second, and the choice is remembered', async () => {
    await serve();
    const context = await browser.newContext();
    const page = await open(context, service.address);
    await watch(page);
    await playedTo(page, 1);
    assert.equal(await page.getByText(/^Second \d+$/).count(), 0, 'subtitles are off until somebody wants them');
    await page.keyboard.press('Tab'); // whoever moves sees the controls
    await page.getByRole('button', { name: 'Subtitles' }).click();
    await page.getByRole('menuitemradio', { name: 'Deutsch' }).click();
    await page.getByText(/^Sekunde \d+$/).first().waitFor();
    await page.keyboard.press('k'); // in a picture that stands still, words and place can be compared
    await page.waitForFunction(() => {
      const said = [...document.querySelectorAll('.shaka-text-container *')].map((e) => /^Sekunde (\d+)$/.exec(e.textContent)?.[1]);
      const at = document.querySelector('video').currentTime;
      return said.some((s) => s !== undefined && at >= Number(s) - 0.1 && at <= Number(s) + 1.1);
    });
    page.clean();
    await page.close();
    const again = await open(context, service.address);
    await watch(again);
    await again.getByText(/^Sekunde \d+$/).first().waitFor();
    await again.keyboard.press('c');
    await again.getByText(/^Sekunde \d+$/).first().waitFor({ state: 'detached' });
    again.clean();
  });

  test('the keyboard alone finds the film and plays it', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    await page.getByRole('link', { name: 'Play The Clock' }).focus();
    await page.keyboard.press('Enter');
    await playedTo(page, 1);
    const video = (what) => page.evaluate((w) => document.querySelector('video')[w], what);
    await page.keyboard.press('Space');
    assert.equal(await video('paused'), true, 'the space bar pauses');
    const at = await place(page);
    await page.keyboard.press('ArrowRight');
    assert.ok(Math.abs((await place(page)) - at - 10) < 0.5, 'the right arrow goes on by 10 s');
    await page.keyboard.press('ArrowLeft');
    assert.ok(Math.abs((await place(page)) - at) < 0.5, 'the left arrow goes back by 10 s');
    await page.keyboard.press('m');
    assert.equal(await video('muted'), true, 'm mutes');
    await page.keyboard.press('m');
    await page.keyboard.press('f');
    await page.waitForFunction(() => document.fullscreenElement !== null);
    await page.keyboard.press('f');
    await page.waitForFunction(() => document.fullscreenElement === null);
    const bar = page.getByRole('slider', { name: 'Position' });
    await bar.focus();
    await page.keyboard.press('End');
    await page.waitForFunction(() => document.querySelector('video').ended || document.querySelector('video').currentTime > 149);
    await page.keyboard.press('Home');
    assert.ok((await place(page)) < 0.5, 'Home goes to the start');
    await page.getByRole('button', { name: 'Subtitles' }).focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    assert.equal(await page.getByRole('button', { name: 'Subtitles' }).evaluate((b) => b === document.activeElement), true, 'the focus returns to the button');
    await page.keyboard.press('k');
    await page.getByText(/^Second \d+$/).first().waitFor();
    page.clean();
  });

  test('what a player reports has its place in the viewing and tells what happened', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    const facts = [];
    page.on('request', (r) => r.url().endsWith('/api/v1/facts') && facts.push(...JSON.parse(r.postData()).facts));
    const told = new Set();
    page.on('request', (r) => /\.m4s\?/.test(r.url()) && told.add(new URL(r.url()).searchParams.get('CMCD')));
    await watch(page);
    await playedTo(page, 6);
    await page.keyboard.press('k');
    await page.waitForFunction(() => document.querySelector('video').paused);
    await page.keyboard.press('9');
    await page.keyboard.press('k');
    await playedTo(page, 149.9);
    await page.getByRole('button', { name: 'Play again' }).waitFor();
    await leave(page);
    await page.getByRole('heading', { name: 'Films' }).waitFor();
    const kinds = new Set(facts.map((f) => f.kind));
    for (const kind of ['start', 'first_frame', 'heartbeat', 'pause', 'seek', 'rate', 'end']) assert.ok(kinds.has(kind), `no fact of kind ${kind} in ${[...kinds]}`);
    const seqs = [...new Set(facts.map((f) => f.seq))].sort((a, b) => a - b);
    assert.deepEqual(seqs, seqs.map((_, i) => i + 1), 'facts are numbered from 1 without a gap');
    assert.ok(facts.find((f) => f.kind === 'first_frame').duration_ms > 0);
    assert.ok(facts.find((f) => f.kind === 'rate').bps > 0 && facts.find((f) => f.kind === 'rate').height === 240);
    const boxes = JSON.parse(await service.command('appliance', 'list', '--output', 'json')).map((a) => a.appliance.id);
    for (const f of facts.filter((f) => f.kind !== 'start')) assert.ok(boxes.includes(f.appliance), `${f.kind} names the appliance ${f.appliance}, want one of ${boxes}`);
    assert.ok(facts.every((f) => f.player === 'bijou-web/1'), 'every fact names its player');
    const once = new Map(facts.map((f) => [f.seq, f]));
    const played = [...once.values()].reduce((sum, f) => sum + (f.played_ms ?? 0), 0);
    // Six seconds from the start, and from nine tenths of the film to its end.
    assert.ok(played > 18_000 && played < 27_000, `pictures moved for ${played} ms, want about 21,000`);
    const [{ session, title }] = facts;
    assert.ok(told.size > 0, 'no segment is asked for with CMCD');
    for (const cmcd of told) assert.ok(cmcd.includes(`sid="${session}"`) && cmcd.includes(`cid="${title}"`), `a segment is asked for with ${cmcd}`);
    page.clean();
  });
});
