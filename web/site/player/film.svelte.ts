// The video element's state as the controls show it, and what they do to it.

import { choice, remember } from '../storage';

/** How fast a film can play; 1 is as it was made. */
export const speeds = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

export class Film {
  paused = $state(true);
  ended = $state(false);
  /** The picture stands still for want of data. */
  waiting = $state(false);
  /** Seconds from the start. */
  now = $state(0);
  /** Seconds in all; 0 while unknown. */
  length = $state(0);
  /** Seconds up to which the film is here. */
  buffered = $state(0);
  /** From 0 to 1. */
  volume = $state(1);
  muted = $state(false);
  /** One of speeds. */
  speed = $state(1);
  full = $state(false);
  inset = $state(false);
  readonly canInset = document.pictureInPictureEnabled === true;
  readonly canFull: boolean;

  private readonly closed = new AbortController();

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly stage: HTMLElement,
    private readonly title: string,
  ) {
    this.canFull = document.fullscreenEnabled || 'webkitEnterFullscreen' in video;
    const kept = Number(choice('volume') ?? 1);
    video.volume = kept >= 0 && kept <= 1 ? kept : 1;
    video.muted = choice('muted') === 'yes';
    // The speed is that of the film for which it was chosen last.
    const [slowed, speed] = (choice('speed') ?? '').split(' ');
    if (slowed === title && speeds.includes(Number(speed))) this.play(Number(speed));
    const { signal } = this.closed;
    const events = ['play', 'playing', 'pause', 'ended', 'timeupdate', 'seeking', 'seeked', 'waiting', 'canplay', 'durationchange', 'progress', 'emptied', 'ratechange'];
    for (const name of events) video.addEventListener(name, () => this.look(), { signal });
    video.addEventListener('volumechange', () => {
      this.look();
      remember('volume', String(Math.round(video.volume * 100) / 100));
      remember('muted', video.muted ? 'yes' : null);
    }, { signal });
    for (const inset of [true, false]) {
      video.addEventListener(inset ? 'enterpictureinpicture' : 'leavepictureinpicture', () => (this.inset = inset), { signal });
    }
    document.addEventListener('fullscreenchange', () => (this.full = document.fullscreenElement === stage), { signal });
    this.look();
  }

  /** close stops looking, and takes the film out of full screen and inset. */
  close(): void {
    this.closed.abort();
    // Each may have been left already, by the browser's own controls.
    if (document.fullscreenElement === this.stage) void document.exitFullscreen().catch(() => undefined);
    if (document.pictureInPictureElement === this.video) void document.exitPictureInPicture().catch(() => undefined);
  }

  pause(): void {
    this.video.pause();
  }

  /** seek goes to a place in the film, kept within it. */
  seek(seconds: number): void {
    if (this.length === 0) return;
    this.video.currentTime = Math.min(Math.max(seconds, 0), this.length);
    this.look();
  }

  /** mute turns the sound off or on and returns whether it is off. */
  mute(): boolean {
    this.video.muted = !this.video.muted;
    return this.video.muted;
  }

  /** setVolume takes 0 to 1; any sound at all ends muting. */
  setVolume(volume: number): void {
    this.video.volume = Math.min(1, Math.max(0, volume));
    this.video.muted = this.video.volume === 0;
  }

  /** louder changes the volume by so much and returns it. */
  louder(by: number): number {
    this.setVolume((this.video.muted ? 0 : this.video.volume) + by);
    return this.video.volume;
  }

  /** setSpeed has the film play so fast, also when it is watched again before another is given a speed. */
  setSpeed(speed: number): void {
    this.play(speed);
    remember('speed', speed === 1 ? null : `${this.title} ${speed}`);
  }

  private play(speed: number): void {
    this.video.defaultPlaybackRate = speed; // which holds when the film is loaded anew
    this.video.playbackRate = speed;
  }

  async fullscreen(): Promise<void> {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else if (document.fullscreenEnabled) await this.stage.requestFullscreen();
      // Telephones that fill the screen with the picture alone.
      else if ('webkitEnterFullscreen' in this.video) (this.video.webkitEnterFullscreen as () => void)();
    } catch {
      // The browser does not want to; the film goes on as it is.
    }
  }

  async toggleInset(): Promise<void> {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.video.requestPictureInPicture();
    } catch {
      // The browser does not want to, or has no picture yet.
    }
  }

  private look(): void {
    const v = this.video;
    this.paused = v.paused;
    this.ended = v.ended;
    this.now = v.currentTime;
    this.length = Number.isFinite(v.duration) ? v.duration : 0;
    this.waiting = !v.ended && v.readyState < HTMLMediaElement.HAVE_FUTURE_DATA;
    this.volume = v.volume;
    this.muted = v.muted;
    if (v.playbackRate > 0) this.speed = v.playbackRate; // the library holds the film still with 0
    this.buffered = v.currentTime;
    for (let i = 0; i < v.buffered.length; i++) {
      if (v.buffered.start(i) <= v.currentTime + 0.1) this.buffered = Math.max(this.buffered, v.buffered.end(i));
    }
  }
}
