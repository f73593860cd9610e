import { expect, test } from 'vitest';
import type { Fact } from '../api/client';
import { memory } from '../storage';
import { keep, take } from './spool';

const fact = (session: string, seq: number): Fact => ({ kind: 'end', session, seq, title: 'ttl_a', position_ms: 5000 });
const hour = 3600_000;

test('what could not be reported is reported by the next visit, once', () => {
  const s = memory();
  keep(s, 'ply_a', 'prf_1', [fact('ply_a', 7)], 1000);
  expect(take(s, 'prf_1', 2000)).toEqual([[fact('ply_a', 7)]]);
  expect(take(s, 'prf_1', 2000)).toEqual([]);
  expect(s.length).toBe(0);
});

test('nobody reports another\'s facts, and they wait for their owner', () => {
  const s = memory();
  keep(s, 'ply_a', 'prf_1', [fact('ply_a', 7)], 1000);
  expect(take(s, '', 2000)).toEqual([]);
  expect(take(s, 'prf_2', 2000)).toEqual([]);
  expect(take(s, 'prf_1', 2000)).toHaveLength(1);
});

test('old facts are dropped, whoever asks, since the film may have been watched elsewhere', () => {
  const s = memory();
  keep(s, 'ply_a', 'prf_1', [fact('ply_a', 7)], 0);
  expect(take(s, 'prf_2', hour + 1)).toEqual([]);
  expect(s.length).toBe(0);
});

test('the viewings that still go on report for themselves', () => {
  const s = memory();
  keep(s, 'ply_a', '', [fact('ply_a', 1)], 0);
  keep(s, 'ply_b', '', [fact('ply_b', 1)], 0);
  expect(take(s, '', 1, new Set(['ply_a']))).toEqual([[fact('ply_b', 1)]]);
});

test('no facts remove what was kept, and what others wrote is left alone or passed over', () => {
  const s = memory();
  s.setItem('bijou.volume', '0.5');
  s.setItem('bijou.unsent.ply_x', 'no JSON');
  keep(s, 'ply_a', '', [fact('ply_a', 1)], 0);
  keep(s, 'ply_a', '', [], 0);
  expect(take(s, '', 1)).toEqual([]);
  expect(s.getItem('bijou.volume')).toBe('0.5');
});
