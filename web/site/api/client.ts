// The service as the site asks it: typed calls, and answers that say whether trying again is of use.

import createClient from 'openapi-fetch';
import type { components, paths } from './schema';

type Schemas = components['schemas'];
export type Title = Schemas['Title'];
export type Play = Schemas['Play'];
export type Fact = Schemas['Fact'];
export type Me = Schemas['Me'];
export type Position = Schemas['Position'];
export type Operator = Schemas['Operator'];
export type OperatorMe = Schemas['OperatorMe'];
export type OperatorRole = Schemas['NewOperator']['role'];
export type Invitation = Schemas['Invitation'];
export type Invited = Schemas['Invited'];
export type Action = Schemas['Action'];
export type StoreState = Schemas['StoreState'];
export type Profile = Schemas['Profile'];
export type ListedSignIn = Schemas['ListedSignIn'];
export type Pulse = Schemas['Answer'];
export type PulseFigures = Schemas['PulseFigures'];
export type PulseLive = Schemas['PulseLive'];

export const client = createClient<paths>({ baseUrl: '' });

/** Away means that no answer came, or none that says anything: the same request may succeed later. */
export class Away extends Error {}

/** Refused is the service's own answer, in a sentence for a person. The same request would fail again. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    sentence: string,
  ) {
    super(sentence);
  }
}

interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** answer waits for a call and returns what it gave. It throws Away or Refused. */
export async function answer<T>(call: Promise<Outcome<T>>): Promise<T> {
  return (await outcome(call)).data as T;
}

/** outcome is answer with the response's head. */
export async function outcome<T>(call: Promise<Outcome<T>>): Promise<Outcome<T>> {
  let o: Outcome<T>;
  try {
    o = await call;
  } catch (cause) {
    throw new Away('The service does not answer.', { cause });
  }
  const { status, ok } = o.response;
  if (ok) return o;
  // 429 and 503 say "later"; other answers from 500 come from a door whose rooms are away.
  if (status === 429 || (status >= 500 && status !== 501 && status !== 507)) throw new Away(sentence(o.error, status));
  throw new Refused(status, sentence(o.error, status));
}

function sentence(problem: unknown, status: number): string {
  const detail = (problem as { detail?: unknown } | undefined)?.detail;
  if (typeof detail !== 'string' || detail === '') return `The service answered with status ${status}.`;
  const s = detail.charAt(0).toUpperCase() + detail.slice(1);
  return /[.!?]$/.test(s) ? s : s + '.';
}

/** clockAhead returns how many milliseconds the service's clock is ahead of this machine's, to a second. */
export function clockAhead(response: Response, now: number): number {
  const date = Date.parse(response.headers.get('date') ?? '');
  return Number.isNaN(date) ? 0 : date - now;
}
