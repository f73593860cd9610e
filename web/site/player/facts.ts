// The queue of what the player reports. Each fact has its place within the viewing, so one that is sent twice counts once:
// a fact leaves the queue only when the service has said that it has it.

import type { Fact } from '../api/client';

export type Report = Omit<Fact, 'session' | 'title' | 'seq' | 'player'>;

/** The name by which this player's facts are told from others'. */
const player = 'bijou-web/1';

/** accepted: the service has them. refused: it never will. away: nobody answered, or "later". */
export type Delivery = 'accepted' | 'refused' | 'away';

export interface QueueOptions {
  session: string;
  title: string;
  /** deliver reports facts, and how many were given up since the report before. */
  deliver: (facts: Fact[], dropped: number) => Promise<Delivery>;
  /** Most facts that wait. */
  limit?: number;
  /** Called whenever the service's answer shows that it is away, or there again. */
  onAway?: (away: boolean) => void;
}

/** The service takes at most so many in one report. */
export const reportSize = 100;

// The service asks for as much where it is overloaded.
const firstWaitMS = 1000;
const longestWaitMS = 8000;

export class FactQueue {
  private readonly waiting: Fact[] = [];
  private seq = 0;
  private sending: Promise<void> | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private closed = false;
  /** Facts that did not fit and are lost, as far as the service was not told. */
  dropped = 0;

  constructor(private readonly options: QueueOptions) {}

  /** away tells whether the last report found nobody. */
  get away(): boolean {
    return this.failures > 0;
  }

  /** add queues a fact and sends it soon. */
  add(report: Report): void {
    this.seq++;
    this.waiting.push({ ...report, session: this.options.session, title: this.options.title, seq: this.seq, player });
    if (this.waiting.length > (this.options.limit ?? 200)) this.dropOne();
    if (!this.timer) void this.flush();
  }

  /** unsent returns what the service has not said that it has, oldest first. */
  unsent(): Fact[] {
    return [...this.waiting];
  }

  /** flush sends what waits and returns when it is sent, or when the service is found to be away; then it tries again by itself. */
  flush(): Promise<void> {
    this.sending ??= this.sendAll().finally(() => (this.sending = undefined));
    return this.sending;
  }

  /** close stops trying again. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private async sendAll(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    while (this.waiting.length > 0) {
      const batch = this.waiting.slice(0, reportSize);
      const { dropped } = this;
      const delivery = await this.options.deliver(batch, dropped);
      if (delivery === 'away') {
        this.failures++;
        if (this.failures === 1) this.options.onAway?.(true);
        this.again();
        return;
      }
      if (this.failures > 0) this.options.onAway?.(false);
      this.failures = 0;
      if (delivery === 'accepted') this.dropped -= dropped;
      // Some of the batch may have been dropped meanwhile, so what goes is found by its place and not counted.
      const last = batch[batch.length - 1]!.seq;
      const rest = this.waiting.filter((f) => f.seq > last);
      this.waiting.splice(0, this.waiting.length, ...rest);
    }
  }

  private again(): void {
    if (this.closed) return;
    const wait = Math.min(firstWaitMS * 2 ** (this.failures - 1), longestWaitMS);
    this.timer = setTimeout(() => void this.flush(), wait);
  }

  // dropOne makes room: the oldest heartbeat first, since the next one says all that it says; then the oldest fact.
  private dropOne(): void {
    const i = this.waiting.findIndex((f) => f.kind === 'heartbeat');
    this.waiting.splice(Math.max(i, 0), 1);
    this.dropped++;
  }
}

/** batches cuts facts into reports that the service takes. */
export function batches(facts: Fact[]): Fact[][] {
  const out: Fact[][] = [];
  for (let i = 0; i < facts.length; i += reportSize) out.push(facts.slice(i, i + reportSize));
  return out;
}
