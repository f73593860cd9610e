import { expect, test } from 'vitest';
import { Stopwatch } from './stopwatch';

test('it counts while it runs, and what is taken is taken once', () => {
  const w = new Stopwatch();
  expect(w.take(50)).toBe(0);
  w.run(100);
  w.run(150); // it runs already
  expect(w.take(300)).toBe(200);
  w.halt(400);
  w.halt(500);
  expect(w.take(1000)).toBe(100);
  w.run(2000);
  expect(w.take(2000)).toBe(0);
});

test('parts of milliseconds are not lost', () => {
  const w = new Stopwatch();
  w.run(0);
  let sum = 0;
  for (let i = 1; i <= 1000; i++) sum += w.take(i * 0.7);
  expect(sum).toBe(700);
});
