import { expect, test } from 'vitest';
import { clock, remaining, runtime, spoken } from './time';

test.each([
  [0, '0:00'], [9.99, '0:09'], [65, '1:05'], [3599.9, '59:59'], [3600, '1:00:00'], [36_125, '10:02:05'], [NaN, '0:00'], [Infinity, '0:00'], [-3, '0:00'],
])('%d seconds stand on the clock as %s', (seconds, want) => expect(clock(seconds)).toBe(want));

test.each([[0, '0 seconds'], [1, '1 second'], [62, '1 minute 2 seconds'], [7200, '2 hours']])('%d seconds are spoken as "%s"', (seconds, want) =>
  expect(spoken(seconds)).toBe(want));

test.each([[30_020, '30 sec'], [59_600, '1 min'], [596_000, '10 min'], [3_600_000, '1 h'], [6_120_000, '1 h 42 min']])('a film of %d ms lasts %s', (ms, want) =>
  expect(runtime(ms)).toBe(want));

test('what remains is never less than nothing', () => {
  expect(remaining(10_000, 70_000)).toBe('1 min left');
  expect(remaining(80_000, 70_000)).toBe('0 sec left');
});
