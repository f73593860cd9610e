// How long pictures moved.

/** Stopwatch counts while it runs. Times are in milliseconds of a clock that is never set. */
export class Stopwatch {
  private counted = 0;
  private since: number | undefined;

  /** run lets it run. One that runs goes on. */
  run(now: number): void {
    this.since ??= now;
  }

  /** halt stops it. */
  halt(now: number): void {
    if (this.since !== undefined) this.counted += Math.max(0, now - this.since);
    this.since = undefined;
  }

  /** take returns the whole milliseconds counted since the take before. */
  take(now: number): number {
    if (this.since !== undefined) {
      this.halt(now);
      this.run(now);
    }
    const whole = Math.floor(this.counted);
    this.counted -= whole;
    return whole;
  }
}
