// What could not be reported when the page closed because the service was away. The next visit reports it, so that a film goes on
// where it was even when service and browser were both closed.

import type { Fact } from '../api/client';

interface Kept {
  /** Whose facts they are: a profile, or empty for a guest. Others' facts are never reported in one's name. */
  profile: string;
  /** When they were kept, in milliseconds since 1970. */
  at: number;
  facts: Fact[];
}

const prefix = 'bijou.unsent.';

/** Older facts are dropped: the film may have been watched elsewhere since, and a late report would set it back. */
const keepMS = 3600_000;

/** keep stores a viewing's unsent facts in place of those stored before; none removes them. */
export function keep(storage: Storage, session: string, profile: string, facts: Fact[], now: number): void {
  try {
    if (facts.length === 0) storage.removeItem(prefix + session);
    else storage.setItem(prefix + session, JSON.stringify({ profile, at: now, facts } satisfies Kept));
  } catch {
    // Full, or forbidden: these reports are lost, as they would be without the store.
  }
}

/** take removes and returns the facts that this profile can still report, one list a viewing; those of the viewings in except stay. */
export function take(storage: Storage, profile: string, now: number, except = new Set<string>()): Fact[][] {
  const names = Array.from({ length: storage.length }, (_, i) => storage.key(i) ?? '').filter((n) => n.startsWith(prefix));
  const out: Fact[][] = [];
  for (const name of names) {
    if (except.has(name.slice(prefix.length))) continue;
    const kept = parse(storage.getItem(name));
    if (kept && now - kept.at <= keepMS && kept.profile !== profile) continue;
    storage.removeItem(name);
    if (kept && now - kept.at <= keepMS && kept.facts.length > 0) out.push(kept.facts);
  }
  return out;
}

function parse(text: string | null): Kept | undefined {
  try {
    const k = JSON.parse(text ?? '') as Partial<Kept> | null;
    if (k && typeof k.profile === 'string' && typeof k.at === 'number' && Array.isArray(k.facts)) return k as Kept;
  } catch {
    // Another version of the site wrote it, or nobody did.
  }
  return undefined;
}
