import { expect, test } from 'vitest';
import { finished, forgetGuestPlaces, guestPlaces, keepGuestPlace, started } from './positions';
import { memory } from './storage';

test.each([
  [0, 30_000, false], [28_000, 30_000, false], [28_500, 30_000, true], [29_999, 30_000, true],
  [7_000_000, 7_200_000, false], [7_020_000, 7_200_000, true], [500, 1000, true], [5000, 0, false],
])('at %d of %d ms, finished is %s, as the service counts', (position_ms, runtime_ms, want) => expect(finished({ position_ms, runtime_ms })).toBe(want));

test('what has not begun and what is finished is not gone on with', () => {
  expect(started(undefined)).toBe(false);
  expect(started({ position_ms: 0, runtime_ms: 30_000 })).toBe(false);
  expect(started({ position_ms: 4000, runtime_ms: 30_000 })).toBe(true);
  expect(started({ position_ms: 29_900, runtime_ms: 30_000 })).toBe(false);
});

test('a guest\'s places are kept latest first, one a title', () => {
  const s = memory();
  keepGuestPlace(s, { title: 'ttl_a', position_ms: 1, runtime_ms: 10, at: 1 });
  keepGuestPlace(s, { title: 'ttl_b', position_ms: 2, runtime_ms: 10, at: 2 });
  keepGuestPlace(s, { title: 'ttl_a', position_ms: 3, runtime_ms: 10, at: 3 });
  expect(guestPlaces(s).map((p) => [p.title, p.position_ms])).toEqual([['ttl_a', 3], ['ttl_b', 2]]);
  forgetGuestPlaces(s, ['ttl_a']);
  expect(guestPlaces(s).map((p) => p.title)).toEqual(['ttl_b']);
});

test('a record that cannot be read counts as nothing', () => {
  const s = memory();
  for (const bad of ['{', '7', 'null', '[null, 3, {"title": 4}]', '[{"title":"ttl_a","position_ms":-1,"runtime_ms":1,"at":1}]']) {
    s.setItem('bijou.positions', bad);
    expect(guestPlaces(s), bad).toEqual([]);
  }
});

test('only so many titles are remembered', () => {
  const s = memory();
  for (let i = 0; i < 250; i++) keepGuestPlace(s, { title: `ttl_${i}`, position_ms: 1, runtime_ms: 10, at: i });
  const places = guestPlaces(s);
  expect(places.length).toBe(200);
  expect(places[0]?.title).toBe('ttl_249');
});
