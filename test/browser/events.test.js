// Players that are not ours, in CMCD event mode (CTA-5004-B): the service hands them an address to report to, and makes facts of what they tell.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { launch } from './harness/browser.js';
import { makeLibrary } from './harness/library.js';
import { Service } from './harness/service.js';

const library = (name) => resolve(import.meta.dirname, 'node_modules', name);

// Each function runs in the page, and sets its player up as the player's own documentation does. Shaka Player 5.2 leaves out what state it is in, so that
// nothing but its start and its going on can be told.
const players = {
  'shaka-player': {
    tells: ['first_frame', 'heartbeat'],
    script: library('shaka-player/dist/shaka-player.compiled.js'),
    play: async (play) => {
      const video = document.body.appendChild(document.createElement('video'));
      const player = new shaka.Player();
      await player.attach(video);
      const eventTargets = [{ enabled: true, mode: 'event', url: play.collector, events: ['ps', 'bc', 't', 'e'], interval: 2, includeKeys: [] }];
      player.configure('cmcd', { enabled: true, version: 2, sessionId: play.session, contentId: play.title, eventTargets });
      await player.load(new URL(play.dash, location).href); // Shaka Player 5.2 loses the host where CMCD is on and the address has none
      await video.play();
    },
  },
  'hls.js': {
    tells: ['first_frame', 'heartbeat', 'pause'],
    script: library('hls.js/dist/hls.min.js'),
    play: async (play) => {
      const video = document.body.appendChild(document.createElement('video'));
      const eventTargets = [{ url: play.collector, events: ['ps', 'bc', 't', 'e'], interval: 2 }];
      const player = new Hls({ cmcd: { version: 2, sessionId: play.session, contentId: play.title, eventTargets } });
      player.loadSource(play.hls);
      player.attachMedia(video);
      await new Promise((ready) => player.once(Hls.Events.MANIFEST_PARSED, ready));
      await video.play();
    },
  },
  'dash.js': {
    tells: ['first_frame', 'heartbeat', 'pause'],
    script: library('dashjs/dist/modern/umd/dash.all.min.js'),
    play: async (play) => {
      const video = document.body.appendChild(document.createElement('video'));
      const player = dashjs.MediaPlayer().create();
      const enabledKeys = ['br', 'bsd', 'cid', 'e', 'ec', 'msd', 'pt', 'sid', 'sn', 'sta', 'ts', 'v']; // it sends none that is not named
      const eventTargets = [{ enabled: true, url: play.collector, events: ['ps', 'bc', 't', 'e'], interval: 2, enabledKeys }];
      player.updateSettings({ debug: { logLevel: 0 }, streaming: { cmcd: { enabled: true, version: 2, sid: play.session, cid: play.title, eventTargets } } });
      player.initialize(video, play.dash, true);
    },
  },
};

/** factsOf reads the facts of a viewing off the log's files. */
async function factsOf(service, session) {
  const facts = new Map();
  const log = join(service.folder, 'log', 'facts');
  for (const name of await readdir(log, { recursive: true })) {
    if (!name.endsWith('.seg')) continue;
    for (const [text] of (await readFile(join(log, name), 'latin1')).matchAll(/\{"kind":"[^\x00-\x1f]*?"at":"[^"]*"[^}]*\}/g)) {
      const fact = JSON.parse(text);
      if (fact.session === session && !facts.has(fact.seq)) facts.set(fact.seq, fact);
    }
  }
  return [...facts.values()].sort((a, b) => a.seq - b.seq);
}

describe('event mode', { timeout: 300_000 }, () => {
  let film;
  let service;
  let browser;

  before(async () => (film = await makeLibrary()));
  after(() => film?.remove());
  beforeEach(async () => (browser = await launch()));
  afterEach(async () => {
    await browser.close();
    await service?.close();
    service = undefined;
  });

  for (const [name, { tells, script, play }] of Object.entries(players)) {
    test(`${name} is counted like the site's own player`, async () => {
      service = await Service.open({ library: film.data });
      const { titles } = await (await fetch(`${service.address}/api/v1/titles`)).json();
      const viewing = await (await fetch(`${service.address}/api/v1/titles/${titles[0].id}/plays`, { method: 'POST' })).json();
      const page = await (await browser.newContext()).newPage();
      const answers = [];
      page.on('response', (r) => r.url().endsWith(viewing.collector) && answers.push(r.status()));
      await page.goto(`${service.address}/livez`);
      await page.addScriptTag({ path: script });
      await page.evaluate(play, viewing);
      const playedTo = (s) => page.waitForFunction((s) => document.querySelector('video').currentTime > s, s, { timeout: 30_000 });
      await playedTo(7);
      await page.evaluate(() => document.querySelector('video').pause());
      let facts = [];
      const kinds = () => facts.map((f) => f.kind);
      for (const end = Date.now() + 20_000; Date.now() < end && !tells.every((k) => kinds().includes(k));) facts = await factsOf(service, viewing.session);
      assert.deepEqual([...new Set(answers)], [204], 'every report is taken');
      assert.equal(kinds()[0], 'start');
      for (const kind of tells) assert.ok(kinds().includes(kind), `no fact of kind ${kind} in ${kinds()}`);
      assert.equal(kinds().filter((k) => k === 'first_frame').length, 1);
      assert.ok(facts.every((f) => f.title === viewing.title && f.player === 'cmcd/2'));
      const played = facts.reduce((sum, f) => sum + (f.played_ms ?? 0), 0);
      if (tells.includes('pause')) assert.ok(played > 5000 && played < 12_000, `pictures moved for ${played} ms, want about 7,000`);
    });
  }
});
