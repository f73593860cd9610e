// A film that does not stop when the box that it comes from does: three players and the site's own, each with two boxes beside the service.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { resolve } from 'node:path';
import { Box, makeLongFilm } from './harness/boxes.js';
import { launch } from './harness/browser.js';
import { Service } from './harness/service.js';

const library = (name) => resolve(import.meta.dirname, 'node_modules', name);

// Each player as a careful integrator sets it up: at most about six seconds ahead, and no waiting for a box that says nothing for longer than that buffer
// lasts. Each function runs in the page and returns the video element that plays.
const players = {
  'shaka-player': {
    script: library('shaka-player/dist/shaka-player.compiled.js'),
    play: async (play) => {
      const video = document.body.appendChild(document.createElement('video'));
      const player = new shaka.Player();
      await player.attach(video);
      const retryParameters = { maxAttempts: 4, baseDelay: 100, backoffFactor: 1, fuzzFactor: 0, timeout: 4000, stallTimeout: 1500, connectionTimeout: 1500 };
      player.configure({ streaming: { bufferingGoal: 6, rebufferingGoal: 1, retryParameters }, manifest: { retryParameters } });
      player.addEventListener('error', (e) => e.detail.severity === 2 && globalThis.errors.push(`shaka ${e.detail.code} ${e.detail.data?.[0]}`));
      await player.load(play.dash);
      await video.play();
    },
  },
  'hls.js': {
    script: library('hls.js/dist/hls.min.js'),
    play: async (play) => {
      const video = document.body.appendChild(document.createElement('video'));
      const policy = { default: { maxTimeToFirstByteMs: 1500, maxLoadTimeMs: 3000, timeoutRetry: null, errorRetry: null } };
      const player = new Hls({ maxBufferLength: 6, maxMaxBufferLength: 6, fragLoadPolicy: policy, playlistLoadPolicy: policy });
      player.on(Hls.Events.ERROR, (_, e) => e.fatal && globalThis.errors.push(`hls.js ${e.details}`));
      player.loadSource(play.hls);
      player.attachMedia(video);
      await new Promise((ready) => player.once(Hls.Events.MANIFEST_PARSED, ready));
      await video.play();
    },
  },
  'dash.js': {
    script: library('dashjs/dist/modern/umd/dash.all.min.js'),
    play: async (play) => {
      const video = document.body.appendChild(document.createElement('video'));
      const player = dashjs.MediaPlayer().create();
      player.updateSettings({
        debug: { logLevel: 0 },
        streaming: {
          buffer: { bufferTimeDefault: 6, bufferTimeAtTopQuality: 6, bufferTimeAtTopQualityLongForm: 6, initialBufferLevel: 2 },
          fragmentRequestTimeout: 1500, retryIntervals: { MediaSegment: 100, InitializationSegment: 100 }, retryAttempts: { MediaSegment: 0, InitializationSegment: 0 },
        },
      });
      // dash.js tells of every address that it gives up before it goes on without it, and of nothing else whether it is fatal: a segment at one box (27),
      // and the steering server (which has no code). Whether the film plays on is what counts there.
      const survivable = (e) => e.code === 27 || (e.code === null && /\/steering\.json\S* is not available/.test(e.message));
      player.on('error', ({ error }) => survivable(error) || globalThis.errors.push(`dash.js ${error.code ?? error} ${error.message ?? ''}`));
      player.initialize(video, play.dash, true);
      await new Promise((playing) => video.addEventListener('playing', playing, { once: true }));
    },
  },
};

/** begin opens a page that plays the film by the player, and notes where each segment came from. */
async function begin(context, service, title, name) {
  const page = await context.newPage();
  const segments = [];
  page.on('response', (r) => {
    const url = new URL(r.url());
    if (url.pathname.endsWith('.m4s') && r.ok()) segments.push({ host: url.host, path: url.pathname, at: Date.now() });
  });
  await page.addInitScript(() => {
    globalThis.errors = [];
    globalThis.waits = [];
    document.addEventListener('waiting', ({ target: { currentTime, buffered } }) => {
      const ahead = Array.from(buffered, (_, i) => buffered.end(i)).find((end) => end >= currentTime) ?? currentTime;
      // Whoever waits with seconds ahead waits for the processor, not for a box.
      globalThis.waits.push(`${currentTime.toFixed(1)} s with ${(ahead - currentTime).toFixed(1)} s ahead`);
    }, true);
  });
  if (name === 'the site') {
    await page.goto(`${service.address}/watch/${title}`);
  } else {
    const { script, play } = players[name];
    await page.goto(`${service.address}/livez`); // of the service's origin, and nothing of the site in it
    await page.addScriptTag({ path: script });
    const answer = await fetch(`${service.address}/api/v1/titles/${title}/plays`, { method: 'POST' });
    await page.evaluate(play, await answer.json());
  }
  await page.waitForFunction(() => document.querySelector('video')?.currentTime > 3, null, { timeout: 30_000 });
  return { name, page, segments };
}

const state = ({ page }) =>
  page.evaluate(() => ({ place: document.querySelector('video').currentTime, waits: globalThis.waits.length, waitedAt: globalThis.waits, errors: [...globalThis.errors] }));

// Shaka Player gives up hosts, whatever the port: where each box has one of its own it leaves the box, and where they share one, as those that `up`
// runs do, it has to find the way among addresses that it has given up altogether.
const apart = ['127.0.0.2', '127.0.0.3'];
const together = ['127.0.0.1', '127.0.0.1'];

const seed = Number(process.env.BIJOU_TEST_SEED ?? Date.now() % 1_000_000);

describe('failover', { timeout: 900_000 }, () => {
  let film;
  let service;
  let browser;
  let boxes = [];

  before(async () => (film = await makeLongFilm()));
  after(() => film?.remove());
  beforeEach(async () => (browser = await launch()));
  afterEach(async () => {
    await browser.close();
    await Promise.all(boxes.map((b) => b.close()));
    await service?.close();
    boxes = [];
    service = undefined;
  });

  /** serve starts a service without boxes of its own, and one beside it on each host. It returns the film's identifier. */
  const serve = async (hosts, settings) => {
    service = await Service.open({ library: film.data, settings: { appliances: '0', ...settings } });
    for (const host of hosts) boxes.push(await Box.join(service, host));
    return JSON.parse(await service.command('title', 'list', '--output', 'json'))[0].id;
  };

  // Each fault: where the boxes are, what is done to the one that serves, and whether the film then comes from the other.
  const faults = {
    'is killed': { hosts: apart, strike: (box) => box.child.kill('SIGKILL'), moves: true },
    'is killed beside one of the same host': { hosts: together, strike: (box) => box.child.kill('SIGKILL'), moves: true },
    'hangs': { hosts: apart, strike: (box) => box.child.kill('SIGSTOP'), moves: true },
    'has its files corrupted': { hosts: apart, strike: (box) => box.spoil(), moves: true },
    'loses its service': { hosts: apart, strike: () => service.end('SIGKILL'), moves: false },
  };
  let turn = 0;
  for (const [what, { hosts, strike, moves }] of Object.entries(faults)) {
    const moment = 4000 + ((seed * 7919 + 104_729 * turn++) % 6000);
    test(`no player stops when the box that serves it ${what}`, async (t) => {
      t.diagnostic(`BIJOU_TEST_SEED=${seed}: struck ${moment} ms after all play`);
      const title = await serve(hosts);
      const context = await browser.newContext({ bypassCSP: true });
      const all = [];
      for (const name of [...Object.keys(players), 'the site']) all.push(await begin(context, service, title, name));
      await pause(moment);
      const { host } = all[0].segments.at(-1);
      assert.deepEqual(all.filter((p) => p.segments.at(-1).host !== host).map((p) => p.name), [], `players whom ${host} does not serve, seed ${seed}`);
      const box = boxes.find((b) => b.host === host);
      const struck = Date.now();
      const before = await Promise.all(all.map(state));
      await strike(box);
      await pause(60_000);
      const now = await Promise.all(all.map(state));
      const wrong = [];
      for (const [i, { name, segments }] of all.entries()) {
        const after = segments.filter((s) => s.at > struck && (!moves || s.host !== host)).length;
        const played = now[i].place - before[i].place;
        if (now[i].errors.length > 0) wrong.push(`${name} reports ${now[i].errors}`);
        if (now[i].waits > before[i].waits) wrong.push(`${name} waited at ${now[i].waitedAt.slice(before[i].waits)}, struck at ${before[i].place}`);
        if (played < 58) wrong.push(`${name} played ${played} s of 60`);
        if (after < 10) wrong.push(`${name} fetched ${after} segments from the ${moves ? 'other box' : 'boxes'}, want 10`);
      }
      assert.deepEqual(wrong, [], `seed ${seed}, struck after ${moment} ms`);
    });
  }

  test('a film that was paused until its grant ended plays on from the boxes', async () => {
    const title = await serve(apart, { 'playback.grant_term': '10s' });
    const { page, segments } = await begin(await browser.newContext(), service, title, 'the site');
    const grantOf = (s) => s.path.split('/')[2];
    await page.keyboard.press('k');
    await page.waitForFunction(() => document.querySelector('video').paused);
    await pause(15_000); // beyond the grant's end
    const [before, old, paused] = [await state({ page }), new Set(segments.map(grantOf)), Date.now()];
    const ahead = await page.evaluate(() => document.querySelector('video').buffered.end(0));
    await page.keyboard.press('k');
    await page.waitForFunction((s) => document.querySelector('video').currentTime > s, ahead + 5, { timeout: 90_000 });
    const fresh = segments.filter((s) => s.at > paused);
    assert.ok(fresh.length >= 4, `${fresh.length} segments were fetched after the pause, want 4`);
    assert.deepEqual(fresh.filter((s) => old.has(grantOf(s)) || !boxes.some((b) => b.host === s.host)), [], 'segments under a grant that had ended, or not from a box');
    // A film that goes on from a pause may wait for its decoder with all it needs at hand: that is no box's doing.
    const dry = (await state({ page })).waitedAt.slice(before.waits).filter((w) => Number(w.match(/with (\S+) s ahead/)[1]) < 1);
    assert.deepEqual(dry, [], 'the film ran dry');
  });
});
