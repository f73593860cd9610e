import { expect, test } from 'vitest';
import { Away, Refused } from '../api/client';
import { causeOf, remedyFor, waitMS } from './trouble';

test.each([
  ['a refused segment', { category: 1, code: 1001, data: ['u', 403] }, 'renew'],
  ['a file that is not there', { category: 1, code: 1001, data: ['u', 404] }, 'renew'],
  ['a service that starts', { category: 1, code: 1001, data: ['u', 503] }, 'again'],
  ['too many requests', { category: 1, code: 1001, data: ['u', 429] }, 'again'],
  ['a malformed request', { category: 1, code: 1001, data: ['u', 400] }, 'give up'],
  ['no answer', { category: 1, code: 1002, data: ['u'] }, 'again'],
  ['an answer that takes too long', { category: 1, code: 1003 }, 'again'],
  ['a load that another ended', { category: 7, code: 7000 }, 'nothing'],
  ['a picture that cannot be decoded', { category: 3, code: 3016 }, 'give up'],
  ['a manifest that cannot be read', { category: 4, code: 4001 }, 'give up'],
])('%s', (_, error, want) => expect(remedyFor(error)).toBe(want));

test('waiting grows, and not without end', () => {
  expect([1, 2, 3, 4, 5, 50].map(waitMS)).toEqual([300, 600, 1200, 2400, 4000, 4000]);
});

test.each([
  ['a refused segment', { category: 1, code: 1001, data: ['u', 403] }, 'refused'],
  ['a grant that is not renewed', { category: 1, code: 1006 }, 'refused'],
  ['the service says no', new Refused(409, 'no'), 'refused'],
  ['a service that fails', { category: 1, code: 1001, data: ['u', 502] }, 'network'],
  ['too many requests', { category: 1, code: 1001, data: ['u', 429] }, 'network'],
  ['no answer', { category: 1, code: 1002, data: ['u'] }, 'network'],
  ['nobody there', new Away('away'), 'network'],
  ['an answer that takes too long', { category: 1, code: 1003 }, 'timeout'],
  ['a picture that cannot be decoded', { category: 3, code: 3016 }, 'media'],
  ['a manifest that cannot be read', { category: 4, code: 4001 }, 'manifest'],
  ['a manifest that could not be read, told in words', new Error('x', { cause: { category: 4, code: 4001 } }), 'manifest'],
  ['nobody there, and why', new Away('away', { cause: new TypeError('fetch') }), 'network'],
  ['a library that is no library', new Error('x'), 'other'],
  ['anything', 'x', 'other'],
])('%s is counted', (_, error, want) => expect(causeOf(error)).toBe(want));
