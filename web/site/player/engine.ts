// What plays the film: the shaka library on Media Source Extensions, or the browser's own HLS where there are none.

import type shakaNamespace from 'shaka-player/dist/shaka-player.dash-es2021';
import type { Play } from '../api/client';
import { Boxes } from './boxes';
import type { Grants } from './grant';
import { rungs, trackName } from './languages';
import type { LibraryError } from './trouble';

type Shaka = typeof shakaNamespace;

export interface Choice {
  id: string;
  name: string;
  language: string;
  active: boolean;
}

export interface Tracks {
  text: Choice[];
  audio: Choice[];
  /** Heights in pixels, tallest first. */
  heights: number[];
}

export interface Events {
  /** The tracks to choose from, or the choice, changed. */
  tracks: () => void;
  /** Another rendition is fetched. */
  rate: (bps: number, height: number) => void;
  /** A segment came from the appliance. */
  box: (appliance: string) => void;
  trouble: (error: LibraryError) => void;
}

export interface Engine {
  load(play: Play, atSeconds: number): Promise<void>;
  tracks(): Tracks;
  /** null: no subtitles. */
  chooseText(id: string | null): void;
  chooseAudio(id: string): void;
  /** null: as the network allows. */
  chooseHeight(height: number | null): void;
  /** again goes on fetching after trouble, under the play's grant. */
  again(play: Play): void;
  destroy(): Promise<void>;
}

/** fetchLibrary loads the library's code; only a page that plays asks for it. */
export function fetchLibrary(): Promise<Shaka> {
  return import('shaka-player/dist/shaka-player.dash-es2021').then((m) => m.default);
}

/** newEngine returns what plays in this browser. It throws where nothing does. */
export async function newEngine(video: HTMLVideoElement, container: HTMLElement, grants: Grants, events: Events): Promise<Engine> {
  if ('MediaSource' in window || 'ManagedMediaSource' in window) {
    const shaka = await fetchLibrary();
    if (shaka.Player.isBrowserSupported()) return ShakaEngine.on(shaka, video, container, grants, events);
  }
  if (video.canPlayType('application/vnd.apple.mpegurl') !== '') return new NativeEngine(video, events);
  throw new Error('This browser can play neither DASH nor HLS: use a current version of Firefox, Chrome, Edge or Safari.');
}

class ShakaEngine implements Engine {
  private constructor(
    private readonly player: InstanceType<Shaka['Player']>,
    events: Events,
  ) {
    const tracks = () => events.tracks();
    for (const name of ['trackschanged', 'textchanged', 'audiotrackchanged', 'variantchanged']) player.addEventListener(name, tracks);
    const rate = () => {
      const now = player.getVariantTracks().find((t) => t.active);
      if (now) events.rate(Math.round(now.bandwidth), now.height ?? 0);
    };
    for (const name of ['adaptation', 'variantchanged', 'loaded']) player.addEventListener(name, rate);
    player.addEventListener('error', (e) => events.trouble((e as unknown as { detail: LibraryError }).detail));
  }

  static async on(shaka: Shaka, video: HTMLVideoElement, container: HTMLElement, grants: Grants, events: Events): Promise<Engine> {
    shaka.polyfill.installAll();
    const player = new shaka.Player(null, container);
    // Few tries of its own: trouble is met by the page, which knows grants and says what is going on.
    // A box that says nothing for three seconds is left for the next, well before the buffer ends.
    const retryParameters = { maxAttempts: 3, baseDelay: 200, timeout: 20_000, stallTimeout: 3000, connectionTimeout: 3000 };
    player.configure({
      streaming: { retryParameters, bufferingGoal: 30, bufferBehind: 30 },
      manifest: { retryParameters },
      // A first guess of 3 Mb/s starts on a middle rung; what is measured decides soon after.
      abr: { defaultBandwidthEstimate: 3e6, useNetworkInformation: false, restrictToElementSize: true },
    });
    const { MANIFEST, SEGMENT } = shaka.net.NetworkingEngine.RequestType;
    const boxes = new Boxes();
    player.getNetworkingEngine()?.registerResponseFilter((type, response) => {
      if (type === MANIFEST) boxes.learn(shaka.util.StringUtils.fromUTF8(response.data), response.uri);
      const box = type === SEGMENT ? boxes.of(response.uri) : undefined;
      if (box) events.box(box);
    });
    player.getNetworkingEngine()?.registerRequestFilter(async (type, request) => {
      if (type !== SEGMENT) return;
      try {
        await grants.fresh();
      } catch {
        // The segment's own answer tells: refused where the grant has ended, and then the page renews it or says why it cannot.
      }
      request.uris = request.uris.map((u) => grants.rewrite(u));
    });
    await player.attach(video);
    return new ShakaEngine(player, events);
  }

  async load(play: Play, atSeconds: number): Promise<void> {
    // Every request says which viewing it is for, and how that is (CTA-5004, as a query, which needs no question of the browser's beforehand).
    this.player.configure('cmcd', { enabled: true, useHeaders: false, version: 1, sessionId: play.session, contentId: play.title });
    // With a host: the library loses it where CMCD is on and the address has none.
    await this.player.load(new URL(play.dash, location.href).href, atSeconds, 'application/dash+xml');
  }

  tracks(): Tracks {
    return {
      text: this.player.getTextTracks().map((t) => ({
        id: String(t.id), name: trackName(t.language, t.label, t.kind), language: t.language, active: t.active,
      })),
      audio: this.player.getAudioTracks().map((t, i) => ({
        id: String(i), name: trackName(t.language, t.label), language: t.language, active: t.active,
      })),
      heights: rungs(this.player.getVideoTracks().map((t) => t.height)),
    };
  }

  chooseText(id: string | null): void {
    this.player.selectTextTrack(this.player.getTextTracks().find((t) => String(t.id) === id) ?? null);
  }

  chooseAudio(id: string): void {
    const track = this.player.getAudioTracks()[Number(id)];
    if (track) this.player.selectAudioTrack(track);
  }

  chooseHeight(height: number | null): void {
    const track = height === null ? undefined : this.player.getVideoTracks().find((t) => t.height === height);
    this.player.configure('abr.enabled', track === undefined);
    if (track) this.player.selectVideoTrack(track, true, 4);
  }

  again(): void {
    this.player.retryStreaming(0);
  }

  async destroy(): Promise<void> {
    await this.player.destroy();
  }
}

// NativeEngine leaves everything to the browser: it chooses the rendition, and its own addresses cannot be rewritten, so that a grant
// that ended is met by loading anew at the same place.
class NativeEngine implements Engine {
  private readonly texts: TextTrackList;
  private readonly failed = () => {
    const code = this.video.error?.code;
    this.events.trouble({ category: 1, code: code === 3 || code === 4 ? 1001 : 1002, data: ['', 403] });
  };
  private readonly changed = () => this.events.tracks();

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly events: Events,
  ) {
    this.texts = video.textTracks;
    video.addEventListener('error', this.failed);
    video.addEventListener('loadedmetadata', this.changed);
    for (const name of ['addtrack', 'removetrack', 'change']) this.texts.addEventListener(name, this.changed);
  }

  load(play: Play, atSeconds: number): Promise<void> {
    this.video.src = play.hls;
    return new Promise((done) => {
      this.video.addEventListener('loadedmetadata', () => {
        if (atSeconds > 0) this.video.currentTime = atSeconds;
        done();
      }, { once: true });
      this.video.load();
    });
  }

  tracks(): Tracks {
    const text = Array.from(this.texts, (t, i) => ({
      id: String(i), name: trackName(t.language, t.label, t.kind), language: t.language, active: t.mode === 'showing',
    }));
    return { text, audio: [], heights: [] };
  }

  chooseText(id: string | null): void {
    Array.from(this.texts).forEach((t, i) => (t.mode = String(i) === id ? 'showing' : 'disabled'));
  }

  chooseAudio(): void {}
  chooseHeight(): void {}

  again(play: Play): void {
    const { currentTime, paused } = this.video;
    void this.load(play, currentTime).then(() => (paused ? undefined : this.video.play().catch(() => undefined))); // blocked: the viewer presses play
  }

  destroy(): Promise<void> {
    this.video.removeEventListener('error', this.failed);
    this.video.removeEventListener('loadedmetadata', this.changed);
    for (const name of ['addtrack', 'removetrack', 'change']) this.texts.removeEventListener(name, this.changed);
    this.video.removeAttribute('src');
    this.video.load();
    return Promise.resolve();
  }
}
