// The way to a sign-on provider and back.

import { answer, client } from './api/client';

/** codeOf returns what the browser came back with, as the service wants it. */
export function codeOf(search: string, binding: string) {
  const got = new URLSearchParams(search);
  return { state: got.get('state') ?? '', code: got.get('code') ?? '', error: got.get('error') ?? '', binding };
}

export type Code = ReturnType<typeof codeOf>;

// The tab keeps what shows that it was here that a member's sign-on began, and what it was for, while the browser is at the provider.
const key = 'bijou.member-signon.';

/** beginSignOn sends the browser to the provider: to sign on, and then to go where the search leads, or to connect the account. It throws Refused or Away. */
export async function beginSignOn(purpose: 'sign-on' | 'connect', search = ''): Promise<void> {
  const { address, binding } = await answer(client.POST('/api/v1/signons'));
  for (const [name, value] of Object.entries({ binding, purpose, search })) sessionStorage.setItem(key + name, value);
  location.assign(address);
}

/** comeBack returns what the browser came back with, what for, and where to go on. It can be taken once. */
export function comeBack(search: string): { code: Code; connects: boolean; search: string } {
  const take = (name: string) => {
    const value = sessionStorage.getItem(key + name) ?? '';
    sessionStorage.removeItem(key + name);
    return value;
  };
  return { code: codeOf(search, take('binding')), connects: take('purpose') === 'connect', search: take('search') };
}
