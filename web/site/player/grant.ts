// The right to fetch segments: a part of their addresses that ends after a while and is renewed without the viewer's noticing.

import type { Play } from '../api/client';

export interface Renewed {
  play: Pick<Play, 'grant' | 'expires'>;
  /** Milliseconds that the service's clock is ahead of this machine's. */
  ahead: number;
}

/** A grant is renewed when a fifth of its term is left, at most so many milliseconds before its end. */
const longestMarginMS = 30_000;

export class Grants {
  private token: string;
  private renewAt = 0;
  private renewing: Promise<void> | undefined;

  /** ask asks the service for a new grant in place of one; now is this machine's clock in milliseconds. */
  constructor(
    first: Renewed,
    private readonly ask: (grant: string) => Promise<Renewed>,
    private readonly now: () => number = Date.now,
  ) {
    this.token = first.play.grant;
    this.hold(first);
  }

  get current(): string {
    return this.token;
  }

  /** fresh renews a grant that has ended or is about to. It fails as the service's answer does. */
  async fresh(): Promise<void> {
    if (this.now() >= this.renewAt) await this.renew();
  }

  /** renew renews the grant now. Calls at the same time share one request. */
  renew(): Promise<void> {
    this.renewing ??= this.ask(this.token)
      .then((next) => this.hold(next))
      .finally(() => (this.renewing = undefined));
    return this.renewing;
  }

  /** rewrite returns a segment's address under the grant that holds now. Other addresses stay as they are. */
  rewrite(address: string): string {
    return address.replace(/^((?:https?:\/\/[^/]+)?\/g\/)[^/]+\//, (_, before: string) => `${before}${this.token}/`);
  }

  private hold({ play, ahead }: Renewed): void {
    this.token = play.grant;
    const end = Date.parse(play.expires) - ahead;
    const term = end - this.now();
    this.renewAt = end - Math.min(longestMarginMS, Math.max(0, term) / 5);
  }
}
