// How far someone has come in each title: rules shared with the service, and a guest's own record in this browser.

export interface Place {
  title: string;
  position_ms: number;
  runtime_ms: number;
  /** When it was reached, in milliseconds since 1970. */
  at: number;
}

/** finished tells whether what remains is too short to resume: the last 5 %, at most 3 minutes. The service counts alike. */
export function finished(p: { position_ms: number; runtime_ms: number }): boolean {
  const rest = p.runtime_ms - p.position_ms;
  return p.runtime_ms > 0 && (rest <= 1000 || rest <= Math.min(p.runtime_ms / 20, 180_000));
}

/** started tells whether there is something to go on with. */
export function started(p: { position_ms: number; runtime_ms: number } | undefined): boolean {
  return p !== undefined && p.position_ms > 0 && !finished(p);
}

const key = 'bijou.positions';

/** A guest has so many titles remembered; the ones watched longest ago go first. */
const most = 200;

/** guestPlaces reads a guest's record, latest first. What cannot be read counts as nothing. */
export function guestPlaces(storage: Storage): Place[] {
  try {
    const kept: unknown = JSON.parse(storage.getItem(key) ?? '[]');
    return Array.isArray(kept) ? kept.filter(isPlace) : [];
  } catch {
    return [];
  }
}

/** keepGuestPlace notes where a guest is. A browser that keeps nothing for this site only forgets. */
export function keepGuestPlace(storage: Storage, place: Place): void {
  const others = guestPlaces(storage).filter((p) => p.title !== place.title);
  write(storage, [place, ...others].slice(0, most));
}

/** forgetGuestPlaces removes the places of these titles. */
export function forgetGuestPlaces(storage: Storage, titles: string[]): void {
  write(storage, guestPlaces(storage).filter((p) => !titles.includes(p.title)));
}

function write(storage: Storage, places: Place[]): void {
  try {
    if (places.length > 0) storage.setItem(key, JSON.stringify(places));
    else storage.removeItem(key);
  } catch {
    // Full, or forbidden by the browser's settings: the film plays all the same.
  }
}

function isPlace(p: unknown): p is Place {
  const o = p as Partial<Place> | null;
  return (
    typeof o === 'object' && o !== null && typeof o.title === 'string' &&
    [o.position_ms, o.runtime_ms, o.at].every((n) => typeof n === 'number' && Number.isFinite(n) && n >= 0)
  );
}
