// One viewing of one title: it starts, reports what happens, renews its grant, and meets trouble.

import { Away, client, clockAhead, outcome, Refused, type Play } from '../api/client';
import { guestPlaces, keepGuestPlace, started } from '../positions';
import { latestPlace, noteLatest, patiently, pause, session, whoAmI } from '../session.svelte';
import { storage } from '../storage';
import { newEngine, type Engine, type Tracks } from './engine';
import type { FactQueue, Report } from './facts';
import { Grants, type Renewed } from './grant';
import { hand, leave, openQueue, settle } from './outbox';
import { Stopwatch } from './stopwatch';
import { causeOf, mostRenewals, remedyFor, waitMS, type LibraryError } from './trouble';

/** A killed browser loses at most what was watched since the last heartbeat. */
const heartbeatMS = 4000;

/** Seeks within so short a time are one: the viewer is still looking for the place. */
const seekRestMS = 400;

const noTracks: Tracks = { text: [], audio: [], heights: [] };

export class Viewing {
  /** Why the title cannot be played, in a sentence; empty while it can. */
  problem = $state('');
  /** The film can be played. */
  ready = $state(false);
  /** The browser lets nothing play before the viewer asks for it. */
  blocked = $state(false);
  /** Neither film nor service answer; it is tried again. */
  away = $state(false);
  tracks = $state.raw<Tracks>(noTracks);
  /** Height of the rendition that plays, in pixels; 0 where unknown. */
  playingHeight = $state(0);

  private play: Play | undefined;
  private engine: Engine | undefined;
  private grants: Grants | undefined;
  private queue: FactQueue | undefined;
  private profile = '';
  private readonly stopped = new AbortController();
  /** When the viewer asked for the film. */
  private began = performance.now();
  private readonly moving = new Stopwatch();
  private appliance = '';
  private firstFrame = false;
  private failed = false;
  private stalledAt: number | undefined;
  private seekTimer: ReturnType<typeof setTimeout> | undefined;
  private fetched: { bps: number; height: number } | undefined;
  private told = '';
  private tries = 0;
  private mending = false;

  constructor(
    private readonly title: string,
    private readonly video: HTMLVideoElement,
    private readonly container: HTMLElement,
  ) {}

  /** start asks for the viewing and plays it. */
  async start(): Promise<void> {
    const { signal } = this.stopped;
    this.listen(signal);
    try {
      const me = await whoAmI();
      this.profile = session.profile;
      await Promise.race([settle(this.profile), pause(2000, signal)]);
      if (signal.aborted) return;
      const { play, ahead } = await patiently(() => this.askPlay(), signal);
      if (signal.aborted) return;
      this.play = play;
      this.grants = new Grants({ play, ahead }, (grant) => this.askRenewal(grant));
      this.queue = openQueue(play.session, play.title, this.profile);
      this.say({ kind: 'start', position_ms: 0 });
      this.engine = await newEngine(this.video, this.container, this.grants, {
        tracks: () => (this.tracks = this.engine?.tracks() ?? noTracks),
        rate: (bps, height) => this.rate(bps, height),
        box: (appliance) => (this.appliance = appliance),
        trouble: (e) => void this.mend(e),
      });
      await this.load(this.from(play, me.guest) / 1000, signal);
    } catch (e) {
      if (!signal.aborted) this.fail(e, e instanceof Error ? e.message : String(e));
    }
    if (signal.aborted) await this.engine?.destroy();
  }

  /** stop ends the viewing: the page shows something else. */
  async stop(): Promise<void> {
    if (this.stopped.signal.aborted) return;
    this.end();
    this.stopped.abort();
    clearTimeout(this.seekTimer);
    if (this.play) void leave(this.play.session);
    await this.engine?.destroy();
  }

  /** playFilm plays, or notes that the browser wants to be asked. */
  async playFilm(): Promise<void> {
    // Who had to be asked wants the film from now on.
    if (this.blocked && !this.firstFrame) this.began = performance.now();
    try {
      await this.video.play();
      this.blocked = false;
    } catch (e) {
      if (e instanceof DOMException && e.name === 'NotAllowedError') this.block();
      // Any other refusal comes from a pause or a load in between, which the viewer sees.
    }
  }

  /** block notes that the browser waits for the viewer, so that nobody takes this for a film that does not start. */
  private block(): void {
    if (!this.blocked) this.say({ kind: 'pause', position_ms: this.position() });
    this.blocked = true;
  }

  chooseText(id: string | null): void {
    this.engine?.chooseText(id);
    this.tracks = this.engine?.tracks() ?? noTracks;
  }

  chooseAudio(id: string): void {
    this.engine?.chooseAudio(id);
  }

  chooseHeight(height: number | null): void {
    this.engine?.chooseHeight(height);
  }

  private async askPlay(): Promise<Renewed & { play: Play }> {
    const o = await outcome(client.POST('/api/v1/titles/{id}/plays', { params: { path: { id: this.title } } }));
    return { play: o.data!, ahead: clockAhead(o.response, Date.now()) };
  }

  private async askRenewal(grant: string): Promise<Renewed> {
    const o = await outcome(client.POST('/api/v1/plays/renewals', { body: { grant } }));
    if (this.play) this.play = { ...o.data!, position_ms: this.play.position_ms };
    return { play: o.data!, ahead: clockAhead(o.response, Date.now()) };
  }

  /** from returns where to begin, in milliseconds. */
  private from(play: Play, guest: boolean): number {
    const here = latestPlace(this.title);
    // What was left a moment ago on this page may be on its way to the service still.
    if (here && Date.now() - here.at < 10_000) return started(here) ? here.position_ms : 0;
    if (play.position_ms > 0 || !guest) return play.position_ms;
    const place = guestPlaces(storage).find((p) => p.title === this.title);
    return place && started(place) ? place.position_ms : 0;
  }

  /** load fetches the manifest, for as long as it takes, and plays. */
  private async load(at: number, signal: AbortSignal): Promise<void> {
    for (let n = 1; ; n++) {
      try {
        await this.engine!.load(this.play!, at);
        break;
      } catch (e) {
        if (signal.aborted) return;
        const remedy = remedyFor(e as LibraryError);
        if (remedy === 'give up' || remedy === 'nothing' || (remedy === 'renew' && n > mostRenewals)) throw new Error(sentenceFor(e as LibraryError), { cause: e });
        this.away = remedy === 'again';
        await pause(waitMS(n), signal);
        if (signal.aborted) return;
        if (remedy === 'renew') await patiently(() => this.grants!.renew(), signal);
      }
    }
    this.away = false;
    this.ready = true;
    this.tracks = this.engine!.tracks();
    await this.playFilm();
  }

  /** mend meets trouble while the film plays. */
  private async mend(e: LibraryError): Promise<void> {
    const { signal } = this.stopped;
    if (this.mending || signal.aborted) return;
    const remedy = remedyFor(e);
    if (remedy === 'nothing') return;
    this.tries++;
    if (remedy === 'give up' || (remedy === 'renew' && this.tries > mostRenewals)) {
      this.fail(e, sentenceFor(e));
      return;
    }
    this.mending = true;
    try {
      if (remedy === 'again' || this.tries > 1) await pause(waitMS(this.tries), signal);
      if (remedy === 'renew') await this.renew(signal);
      if (signal.aborted) return;
      this.away = remedy === 'again';
      this.engine?.again(this.play!);
    } catch (failure) {
      if (!signal.aborted) this.fail(failure, failure instanceof Error ? failure.message : String(failure));
    } finally {
      this.mending = false;
    }
  }

  /** renew gets a new grant, or, where the film was replaced meanwhile, a new viewing at the same place. */
  private async renew(signal: AbortSignal): Promise<void> {
    try {
      await patiently(() => this.grants!.renew(), signal);
    } catch (e) {
      if (!(e instanceof Refused) || e.status !== 409) throw e;
      location.reload(); // the place is kept: pagehide reports it
    }
  }

  private fail(e: unknown, sentence: string): void {
    this.moving.halt(performance.now());
    if (!this.failed) this.say({ kind: 'error', position_ms: this.position(), reason: sentence.slice(0, 290), cause: causeOf(e) });
    this.failed = true;
    this.problem = sentence;
    this.away = false;
    this.video.pause();
  }

  private rate(bps: number, height: number): void {
    this.playingHeight = height;
    this.fetched = { bps, height };
    if (this.firstFrame) this.tellRate();
  }

  // Before the first frame the picture stands at zero, and a report of that place would overwrite the one where the viewer left.
  private tellRate(): void {
    const rate = `${this.fetched?.bps} ${this.fetched?.height}`;
    if (!this.fetched || rate === this.told) return;
    this.told = rate;
    this.say({ kind: 'rate', position_ms: this.position() });
  }

  private position(): number {
    return Math.max(0, Math.round(this.video.currentTime * 1000));
  }

  private runtime(): number {
    const s = this.video.duration;
    return Number.isFinite(s) && s > 0 ? Math.round(s * 1000) : (this.play?.runtime_ms ?? 0);
  }

  private say(report: Report): void {
    const runtime_ms = this.runtime();
    const played_ms = this.moving.take(performance.now());
    const { appliance } = this;
    this.queue?.add({
      ...(this.firstFrame ? this.fetched : {}), ...report, ...(runtime_ms > 0 ? { runtime_ms } : {}), ...(played_ms > 0 ? { played_ms } : {}), ...(appliance ? { appliance } : {}),
    });
    if (this.firstFrame) this.keepPlace(runtime_ms);
  }

  /** keepPlace notes where the viewer is, on this page and, for a guest, in this browser. */
  private keepPlace(runtime_ms: number): void {
    const place = { title: this.title, position_ms: this.position(), runtime_ms, at: Date.now() };
    noteLatest(place);
    if (this.profile === '') keepGuestPlace(storage, place);
  }

  /** end reports that the viewer left, or saw the end. Who leaves before the first picture was nowhere. */
  private end(): void {
    this.moving.halt(performance.now());
    if (!this.failed) this.say({ kind: 'end', position_ms: this.firstFrame ? this.position() : 0 });
  }

  private listen(signal: AbortSignal): void {
    const on = (name: keyof HTMLMediaElementEventMap, f: () => void) => this.video.addEventListener(name, f, { signal });
    on('playing', () => this.playing());
    on('pause', () => {
      this.moving.halt(performance.now());
      if (this.firstFrame && !this.video.ended) this.say({ kind: 'pause', position_ms: this.position() });
    });
    on('waiting', () => {
      this.moving.halt(performance.now());
      if (this.firstFrame && !this.video.seeking) this.stalledAt ??= performance.now();
    });
    on('seeking', () => this.moving.halt(performance.now()));
    on('seeked', () => {
      this.stalledAt = undefined;
      if (!this.firstFrame) return;
      clearTimeout(this.seekTimer);
      this.seekTimer = setTimeout(() => this.say({ kind: 'seek', position_ms: this.position() }), seekRestMS);
    });
    on('ended', () => this.end());
    on('timeupdate', () => {
      // The film goes on, so whatever was wrong is over.
      if (!this.video.paused && !this.mending && this.video.readyState > HTMLMediaElement.HAVE_CURRENT_DATA) {
        this.tries = 0;
        this.away = false;
        if (this.firstFrame && !this.video.seeking) this.moving.run(performance.now());
      }
    });
    const beat = setInterval(() => {
      if (!this.video.paused && this.firstFrame && this.stalledAt === undefined) this.say({ kind: 'heartbeat', position_ms: this.position() });
    }, heartbeatMS);
    signal.addEventListener('abort', () => clearInterval(beat));
    addEventListener('pagehide', () => this.hide('end'), { signal });
    document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && this.hide('heartbeat'), { signal });
  }

  private playing(): void {
    this.blocked = false;
    const now = performance.now();
    this.moving.run(now);
    if (!this.firstFrame) {
      this.firstFrame = true;
      this.say({ kind: 'first_frame', position_ms: this.position(), duration_ms: Math.round(now - this.began) });
      this.tellRate();
    } else if (this.stalledAt !== undefined) {
      this.say({ kind: 'stall', position_ms: this.position(), duration_ms: Math.round(now - this.stalledAt) });
    }
    this.stalledAt = undefined;
  }

  /** hide reports the place while the page still can: it may be closed, or never be shown again. */
  private hide(kind: 'end' | 'heartbeat'): void {
    if (!this.play) return;
    if (kind === 'end') this.end();
    else if (this.firstFrame) this.say({ kind, position_ms: this.position() });
    hand(this.play.session, this.profile);
  }
}

function sentenceFor(e: LibraryError | Error): string {
  if (e instanceof Away || e instanceof Refused) return e.message;
  if (!('category' in e)) return e instanceof Error ? e.message : 'The film cannot be played.';
  if (e.category === 1) return 'The film cannot be fetched: it may have been removed. Go back to the list and start it again.';
  return `This browser cannot play the film (error ${e.code}): try a current version of Firefox, Chrome, Edge or Safari.`;
}
