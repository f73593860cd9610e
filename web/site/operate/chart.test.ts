import { expect, test } from 'vitest';
import { band, ceiling, line } from './chart';

test.each([
  [0, 1],
  [NaN, 1],
  [0.03, 0.05],
  [0.2, 0.2],
  [1.01, 2],
  [37, 50],
  [501, 1000],
])('%s fits below %s', (value, want) => expect(ceiling(value)).toBeCloseTo(want, 12));

test('a line goes through its values and leaves gaps', () => {
  expect(line([0, 5, 10], 10)).toBe('M0 100L50 50L100 0');
  expect(line([0, undefined, 10], 10)).toBe('M0 100h0M100 0h0');
  expect(line([20, -1], 10)).toBe('M0 0L100 100'); // what is beyond stays inside
  expect(line([], 10)).toBe('');
});

test('a band is drawn where both of its sides are known', () => {
  expect(band([1, 2], [3, 4], 4)).toBe('M0 25L100 0L100 50L0 75Z');
  expect(band([1, undefined, 1], [2, 2, 2], 2)).toBe('M0 0L0 50ZM100 0L100 50Z');
  expect(band([undefined], [undefined], 2)).toBe('');
});
