// Who is watching, and whether the service answers.

import { answer, Away, client, type Me, type Profile } from './api/client';
import { deviceName } from './device';
import { settle } from './player/outbox';
import { forgetGuestPlaces, guestPlaces, type Place } from './positions';
import { returnPath } from './route';
import { go } from './router.svelte';
import type { Code } from './signon';
import { storage } from './storage';

let me = $state<Me | undefined>();
let waiting = $state(0);
let turns = $state(0);

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
  /** Changes whenever somebody else watches than before. */
  get turn() {
    return turns;
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

const browser = () => ({ cookie: true, device: deviceName(navigator.userAgent) });

/** signIn opens a session. It throws Refused or Away. */
export async function signIn(email: string, password: string): Promise<void> {
  become(await answer(client.POST('/api/v1/sessions', { body: { email, password, ...browser() } })));
  await bringPlaces();
}

/** signUp makes an account and opens a session. It throws Refused or Away. */
export async function signUp(email: string, password: string): Promise<void> {
  become(await answer(client.POST('/api/v1/accounts', { body: { email, password, ...browser() } })));
  await bringPlaces();
}

/** signOn opens a session with what the browser came back with from the sign-on provider. It throws Refused or Away. */
export async function signOn(code: Code): Promise<void> {
  become(await answer(client.POST('/api/v1/signons/returns', { body: { ...code, ...browser() } })));
  await bringPlaces();
}

/** goOn leads who has just signed in back to where the search says, by way of the profiles where there are several. It throws Refused or Away. */
export async function goOn(search: string): Promise<void> {
  const { profiles } = await answer(client.GET('/api/v1/profiles'));
  go(profiles.length > 1 ? '/profiles' : returnPath(search), { replace: true });
}

/** resetPassword sets a password by a link's token and opens a session. It throws Refused or Away. */
export async function resetPassword(token: string, password: string): Promise<void> {
  become(await answer(client.POST('/api/v1/password-resets/uses', { body: { token, password, ...browser() } })));
  await bringPlaces();
}

/** signOut ends the session. It throws Away. */
export async function signOut(): Promise<void> {
  await answer(client.DELETE('/api/v1/session'));
  signedOut();
}

/** signedOut notes that the session has ended. */
export function signedOut(): void {
  latest.clear();
  turns++;
  me = { guest: true, ...offers() };
  asked = undefined;
}

/** chooseProfile changes who is watching. What the one before still has to report goes out first. It throws Refused or Away. */
export async function chooseProfile(id: string, pin: string): Promise<void> {
  await settle(me?.profile?.id ?? '');
  noteProfile(await answer(client.PUT('/api/v1/session/profile', { body: { profile: id, ...(pin ? { pin } : {}) } })));
}

/** noteProfile notes who is watching; undefined: the profile was deleted. */
export function noteProfile(profile: Profile | undefined): void {
  if (!me) return;
  if (profile?.id !== me.profile?.id) {
    latest.clear();
    turns++;
  }
  const { profile: _, ...rest } = me;
  me = profile ? { ...rest, profile } : rest;
}

/** offers are what the service says to everybody. */
const offers = () => ({ sign_up: me?.sign_up ?? ('open' as const), ...(me?.sign_on ? { sign_on: me.sign_on } : {}) });

function become(s: Required<Pick<Me, 'account' | 'profile'>>): void {
  turns++;
  me = { guest: false, ...offers(), account: s.account, profile: s.profile };
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
