// What to do when the player's library fails: renew the grant, try again, or give up; and what it is to be counted as.

import { Away, Refused, type Fact } from '../api/client';

/** The part of a shaka.util.Error that is looked at. */
export interface LibraryError {
  category: number;
  code: number;
  data?: unknown[];
}

export type Remedy = 'renew' | 'again' | 'nothing' | 'give up';

// shaka.util.Error: categories and codes.
const network = 1;
const media = 3;
const manifest = 4;
const badStatus = 1001;
const timeout = 1003;
const requestFilter = 1006;
const interrupted = [7000, 7001]; // LOAD_INTERRUPTED, OPERATION_ABORTED: somebody else took over

/** remedyFor says what helps. */
export function remedyFor(e: LibraryError): Remedy {
  if (interrupted.includes(e.code)) return 'nothing';
  if (e.category !== network) return 'give up';
  if (e.code === requestFilter) return 'renew';
  if (e.code !== badStatus) return 'again'; // no answer: the service is away, or the network
  const status = Number(e.data?.[1]);
  // 404: the renewal tells whether the film is gone, was replaced, or is only late.
  if ([401, 403, 404, 410].includes(status)) return 'renew';
  return status === 429 || status >= 500 ? 'again' : 'give up';
}

/** causeOf says what a failure that ends a viewing is counted as. */
export function causeOf(e: unknown): NonNullable<Fact['cause']> {
  if (e instanceof Refused) return 'refused';
  if (e instanceof Away) return 'network';
  if (e instanceof Error && e.cause !== undefined) return causeOf(e.cause);
  const { category, code, data } = e as Partial<LibraryError>;
  switch (category) {
    case network:
      if (code === timeout) return 'timeout';
      return code === requestFilter || (code === badStatus && Number(data?.[1]) < 500 && Number(data?.[1]) !== 429) ? 'refused' : 'network';
    case media:
      return 'media';
    case manifest:
      return 'manifest';
    default:
      return 'other';
  }
}

/** waitMS is how long to wait before trying for the n-th time in a row, n from 1. */
export function waitMS(n: number): number {
  return Math.min(300 * 2 ** (n - 1), 4000);
}

/** mostRenewals in a row that bring no segment: then the film cannot be had. */
export const mostRenewals = 4;
