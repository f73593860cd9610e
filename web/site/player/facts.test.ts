import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Fact } from '../api/client';
import { batches, FactQueue, type Delivery } from './facts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** service keeps what it takes, and answers as it is told. */
function service() {
  const s = {
    answer: 'accepted' as Delivery,
    reports: [] as number[][],
    dropped: [] as number[],
    kept: new Map<number, Fact>(),
    queue: (limit?: number) =>
      new FactQueue({
        session: 'ply_a', title: 'ttl_a', ...(limit ? { limit } : {}),
        deliver: async (facts, dropped) => {
          s.dropped.push(dropped);
          s.reports.push(facts.map((f) => f.seq));
          await Promise.resolve();
          if (s.answer === 'accepted') for (const f of facts) s.kept.set(f.seq, f);
          return s.answer;
        },
      }),
  };
  return s;
}

const beat = (position_ms: number) => ({ kind: 'heartbeat', position_ms }) as const;

test('facts carry their place within the viewing, from 1', async () => {
  const s = service();
  const q = s.queue();
  q.add({ kind: 'start', position_ms: 0 });
  q.add(beat(4000));
  await q.flush();
  expect([...s.kept.values()]).toEqual([
    { kind: 'start', session: 'ply_a', title: 'ttl_a', seq: 1, position_ms: 0, player: 'bijou-web/1' },
    { kind: 'heartbeat', session: 'ply_a', title: 'ttl_a', seq: 2, position_ms: 4000, player: 'bijou-web/1' },
  ]);
  expect(q.unsent()).toEqual([]);
});

test('what the service did not take is sent again, ever more rarely, until it does', async () => {
  const s = service();
  s.answer = 'away';
  const q = s.queue();
  q.add({ kind: 'pause', position_ms: 1000 });
  await vi.advanceTimersByTimeAsync(30_000);
  expect(q.away).toBe(true);
  expect(s.reports.length).toBeGreaterThan(3);
  expect(s.reports.length).toBeLessThan(10);
  s.answer = 'accepted';
  await vi.advanceTimersByTimeAsync(8000);
  expect([...s.kept.keys()]).toEqual([1]);
  expect(q.away).toBe(false);
  const sent = s.reports.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(s.reports.length).toBe(sent);
});

test('facts that come while the service is away wait for the next try and keep their order', async () => {
  const s = service();
  s.answer = 'away';
  const q = s.queue();
  for (let i = 1; i <= 5; i++) {
    q.add(beat(i));
    await vi.advanceTimersByTimeAsync(50);
  }
  expect(s.reports).toEqual([[1]]);
  s.answer = 'accepted';
  await vi.advanceTimersByTimeAsync(10_000);
  expect([...s.kept.keys()]).toEqual([1, 2, 3, 4, 5]);
});

test('a full queue gives up its oldest heartbeats first', async () => {
  const s = service();
  s.answer = 'away';
  const q = s.queue(4);
  q.add({ kind: 'start', position_ms: 0 });
  for (let i = 1; i <= 4; i++) q.add(beat(i));
  q.add({ kind: 'pause', position_ms: 9 });
  expect(q.unsent().map((f) => `${f.kind} ${f.seq}`)).toEqual(['start 1', 'heartbeat 4', 'heartbeat 5', 'pause 6']);
  expect(q.dropped).toBe(2);
});

test('what was given up is told until the service has it, and then no more', async () => {
  const s = service();
  s.answer = 'away';
  const q = s.queue(2);
  for (let i = 1; i <= 5; i++) q.add(beat(i));
  await vi.advanceTimersByTimeAsync(1000);
  s.answer = 'accepted';
  await vi.advanceTimersByTimeAsync(8000);
  q.add(beat(6));
  await vi.advanceTimersByTimeAsync(0);
  expect(s.dropped).toEqual([0, 3, 3, 0]);
});

test('a full queue without heartbeats gives up its oldest fact', () => {
  const s = service();
  s.answer = 'away';
  const q = s.queue(2);
  for (let i = 1; i <= 3; i++) q.add({ kind: 'seek', position_ms: i });
  expect(q.unsent().map((f) => f.seq)).toEqual([2, 3]);
});

test('what drops out of a full queue while it is on its way takes nothing else along', async () => {
  const s = service();
  const q = s.queue(3);
  for (let i = 1; i <= 3; i++) q.add(beat(i)); // 1 is on its way
  for (let i = 4; i <= 6; i++) q.add(beat(i));
  await q.flush();
  expect([...s.kept.keys()]).toEqual(expect.arrayContaining([1, 4, 5, 6]));
  expect(q.unsent()).toEqual([]);
});

test('facts that the service refuses are not sent for ever', async () => {
  const s = service();
  s.answer = 'refused';
  const q = s.queue();
  q.add(beat(1));
  await q.flush();
  expect(q.unsent()).toEqual([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(s.reports).toEqual([[1]]);
});

test('one report is on its way at a time, of at most 100 facts', async () => {
  const s = service();
  s.answer = 'away';
  const q = s.queue();
  for (let i = 0; i < 150; i++) q.add({ kind: 'seek', position_ms: i });
  await vi.advanceTimersByTimeAsync(0);
  s.answer = 'accepted';
  s.reports.length = 0;
  await vi.advanceTimersByTimeAsync(1000);
  expect(s.reports.map((r) => r.length)).toEqual([100, 50]);
  expect(s.kept.size).toBe(150);
});

test('a closed queue does not try again', async () => {
  const s = service();
  s.answer = 'away';
  const q = s.queue();
  q.add(beat(1));
  await vi.advanceTimersByTimeAsync(0);
  q.close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(s.reports.length).toBe(1);
});

test('facts are cut into reports that the service takes', () => {
  const facts = Array.from({ length: 201 }, (_, i) => ({ ...beat(i), session: 'ply_a', title: 'ttl_a', seq: i + 1 }));
  expect(batches(facts).map((b) => b.length)).toEqual([100, 100, 1]);
  expect(batches([])).toEqual([]);
});
