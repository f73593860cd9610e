// Who is watching, and whether the service answers.

import { answer, Away, client, type Me } from './api/client';
import { forgetGuestPlaces, guestPlaces, type Place } from './positions';
import { storage } from './storage';

let me = $state<Me | undefined>();
let waiting = $state(0);

/** Where titles were left since the page was loaded: what the service knows of them a moment later. */
const latest = new Map<string, Place>();

export const session = {
  /** Undefined until the service has said. */
  get me() {
    return me;
  },
  /** Requests that found no service and are tried again. */
  get away() {
    return waiting > 0;
  },
  get profile() {
    return me?.profile?.id ?? '';
  },
};

/** noteLatest keeps where a title was left. */
export function noteLatest(place: Place): void {
  latest.set(place.title, place);
}

/** latestPlace returns where a title was left since the page was loaded. */
export function latestPlace(title: string): Place | undefined {
  return latest.get(title);
}

/** patiently asks until the service answers, ever more rarely, and shows meanwhile that it does not. It ends with the signal. */
export async function patiently<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  let counted = false;
  try {
    for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
      signal.throwIfAborted();
      try {
        return await ask();
      } catch (e) {
        if (!(e instanceof Away)) throw e;
      }
      if (!counted) {
        counted = true;
        waiting++;
      }
      await pause(wait, signal);
    }
  } finally {
    if (counted) waiting--;
  }
}

/** pause waits; the network's return or the signal ends it early. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener('online', end);
      signal?.removeEventListener('abort', end);
      done();
    };
    const timer = setTimeout(end, ms);
    addEventListener('online', end);
    signal?.addEventListener('abort', end);
  });
}

let asked: Promise<Me> | undefined;

/** whoAmI returns who is watching, asking once. */
export function whoAmI(): Promise<Me> {
  if (me) return Promise.resolve(me);
  asked ??= patiently(() => answer(client.GET('/api/v1/me')), new AbortController().signal).then(
    (m) => (me = m),
    (e: unknown) => {
      asked = undefined; // the next who asks tries again
      throw e;
    },
  );
  return asked;
}

/** signIn opens a session. It throws Refused or Away. */
export async function signIn(email: string, password: string): Promise<void> {
  become(await answer(client.POST('/api/v1/sessions', { body: { email, password, cookie: true } })));
  await bringPlaces();
}

/** signUp makes an account and opens a session. It throws Refused or Away. */
export async function signUp(email: string, password: string): Promise<void> {
  become(await answer(client.POST('/api/v1/accounts', { body: { email, password, cookie: true } })));
  await bringPlaces();
}

/** signOut ends the session. It throws Away. */
export async function signOut(): Promise<void> {
  await answer(client.DELETE('/api/v1/session'));
  latest.clear();
  me = { guest: true };
  asked = undefined;
}

function become(s: Required<Pick<Me, 'account' | 'profile'>>): void {
  me = { guest: false, account: s.account, profile: s.profile };
}

// bringPlaces hands over what was watched as a guest. What the service refuses, such as a title that is gone, is of no more use here;
// what it could not take stays for the next sign-in.
async function bringPlaces(): Promise<void> {
  latest.clear();
  for (const { title, position_ms, runtime_ms } of guestPlaces(storage)) {
    try {
      await answer(client.POST('/api/v1/positions', { body: { title, position_ms, runtime_ms } }));
    } catch (e) {
      if (e instanceof Away) return;
    }
    forgetGuestPlaces(storage, [title]);
  }
}
