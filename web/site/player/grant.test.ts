import { expect, test } from 'vitest';
import { Grants, type Renewed } from './grant';

const renewed = (grant: string, expiresMS: number, ahead = 0): Renewed => ({ play: { grant, expires: new Date(expiresMS).toISOString() }, ahead });

function setup(termMS: number, ahead = 0) {
  const t = { now: 1_000_000, asked: [] as string[], n: 0 };
  const grants = new Grants(
    renewed('OLD', t.now + ahead + termMS, ahead),
    (grant) => {
      t.asked.push(grant);
      return Promise.resolve(renewed(`NEW${++t.n}`, t.now + ahead + termMS, ahead));
    },
    () => t.now,
  );
  return { t, grants };
}

test('a grant that holds for long is left as it is', async () => {
  const { t, grants } = setup(4 * 3600_000);
  t.now += 3600_000;
  await grants.fresh();
  expect(t.asked).toEqual([]);
});

test('a grant is renewed shortly before its end, and after it', async () => {
  const { t, grants } = setup(10_000);
  t.now += 7999;
  await grants.fresh();
  expect(t.asked).toEqual([]);
  t.now += 1;
  await grants.fresh();
  expect(t.asked).toEqual(['OLD']);
  t.now += 12 * 3600_000; // paused overnight
  await grants.fresh();
  expect(t.asked).toEqual(['OLD', 'NEW1']);
  expect(grants.current).toBe('NEW2');
});

test.each([3600_000, -3600_000])('a clock that is %d ms off does not matter', async (ahead) => {
  const { t, grants } = setup(10_000, ahead);
  await grants.fresh();
  expect(t.asked).toEqual([]);
  t.now += 9000;
  await grants.fresh();
  expect(t.asked).toEqual(['OLD']);
});

test('segments that are asked for at the same time share one renewal', async () => {
  const { t, grants } = setup(10_000);
  t.now += 20_000;
  await Promise.all([grants.fresh(), grants.fresh(), grants.renew()]);
  expect(t.asked).toEqual(['OLD']);
});

test('a renewal that failed is tried again', async () => {
  let n = 0;
  const grants = new Grants(renewed('OLD', 0), () => (n++ === 0 ? Promise.reject(new Error('away')) : Promise.resolve(renewed('NEW', 1e15))), () => 1);
  await expect(grants.fresh()).rejects.toThrow('away');
  await grants.fresh();
  expect(grants.current).toBe('NEW');
});

test.each([
  ['/g/OLD/ast_1/v720/1.m4s', '/g/NEW1/ast_1/v720/1.m4s'],
  ['https://box.example:8443/g/OLD/ast_1/v720/1.m4s', 'https://box.example:8443/g/NEW1/ast_1/v720/1.m4s'],
  ['http://127.0.0.1:8080/api/v1/plays/OLD/manifest.mpd', 'http://127.0.0.1:8080/api/v1/plays/OLD/manifest.mpd'],
  ['https://box.example/films/g/OLD/1.m4s', 'https://box.example/films/g/OLD/1.m4s'],
  ['blob:http://127.0.0.1/g/OLD/x', 'blob:http://127.0.0.1/g/OLD/x'],
])('the address %s is fetched as %s after a renewal', async (before, after) => {
  const { grants } = setup(10_000);
  await grants.renew();
  expect(grants.rewrite(before)).toBe(after);
});
