// Who runs the service from this browser.

import { answer, client, type OperatorMe } from '../api/client';
import { go } from '../router.svelte';
import { codeOf } from '../signon';

let me = $state<OperatorMe | undefined>();

export const operator = {
  /** Undefined until the service has said. */
  get me() {
    return me;
  },
  get administrator() {
    return me?.role === 'administrator';
  },
};

/** who asks the service. It throws Refused or Away. */
export async function who(): Promise<void> {
  me = await answer(client.GET('/api/v1/operate/session'));
}

/** signIn opens a session by name and password. It throws Refused or Away. */
export async function signIn(name: string, password: string): Promise<void> {
  await answer(client.POST('/api/v1/operate/session', { body: { name, password } }));
  await who();
}

/** accept sets a password by a one-time address, and opens a session. It throws Refused or Away. */
export async function accept(token: string, name: string, password: string): Promise<void> {
  await answer(client.POST('/api/v1/operate/passwords', { body: { token, name, password } }));
  await who();
}

/** signOut ends the session. It throws Refused or Away. */
export async function signOut(): Promise<void> {
  await answer(client.DELETE('/api/v1/operate/session'));
  await who();
  go('/operate');
}

// The tab keeps what shows that it was here that the sign-on began, while the browser is at the provider.
const bindingKey = 'bijou.signon';

/** beginSignOn sends the browser to the sign-on provider. It throws Refused or Away. */
export async function beginSignOn(): Promise<void> {
  const { address, binding } = await answer(client.POST('/api/v1/operate/signons'));
  sessionStorage.setItem(bindingKey, binding);
  location.assign(address);
}

/** finishSignOn opens a session with what the browser came back with. It throws Refused or Away. */
export async function finishSignOn(search: string): Promise<void> {
  const binding = sessionStorage.getItem(bindingKey) ?? '';
  sessionStorage.removeItem(bindingKey);
  await answer(client.POST('/api/v1/operate/signons/returns', { body: codeOf(search, binding) }));
  await who();
}

/** sentence returns what to tell a person of a failure. */
export function sentence(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}

/** localTime prints a time as the clock on the wall has it. */
export function localTime(text: string): string {
  return new Date(text).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
