import { expect, test } from 'vitest';
import { remedyFor, waitMS } from './trouble';

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
