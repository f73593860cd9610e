import { expect, test } from 'vitest';
import { pageOf, returnPath } from './route';

test.each([
  ['/', { name: 'home' }],
  ['/title/ttl_abc123', { name: 'title', id: 'ttl_abc123' }],
  ['/watch/ttl_abc123/', { name: 'watch', id: 'ttl_abc123' }],
  ['/sign-in', { name: 'sign-in' }],
  ['/sign-up/', { name: 'sign-up' }],
  ['/forgot-password', { name: 'forgot-password' }],
  ['/reset-password', { name: 'reset-password' }],
  ['/signed-on', { name: 'signed-on' }],
  ['/profiles', { name: 'profiles' }],
  ['/account/', { name: 'account' }],
  ['/account/x', { name: 'missing' }],
  ['/watch', { name: 'missing' }],
  ['/watch/', { name: 'missing' }],
  ['/watch/ttl_abc/more', { name: 'missing' }],
  ['/watch/..%2Fapi', { name: 'missing' }],
  ['/title/ast_abc', { name: 'missing' }],
  ['/nothing', { name: 'missing' }],
  ['/operate', { name: 'operate', part: 'users' }],
  ['/operate/', { name: 'operate', part: 'users' }],
  ['/operate/audit', { name: 'operate', part: 'audit' }],
  ['/operate/pulse', { name: 'operate', part: 'pulse' }],
  ['/operate/stores', { name: 'operate', part: 'stores' }],
  ['/operate/welcome', { name: 'operate', part: 'welcome' }],
  ['/operate/signed-on', { name: 'operate', part: 'signed-on' }],
  ['/operate/nothing', { name: 'missing' }],
  ['/operate/users/more', { name: 'missing' }],
])('%s shows the page it names', (path, want) => expect(pageOf(path)).toEqual(want));

test.each([
  ['', '/'],
  ['?to=%2Fwatch%2Fttl_abc', '/watch/ttl_abc'],
  ['?to=%2Ftitle%2Fttl_abc', '/title/ttl_abc'],
  ['?to=https%3A%2F%2Fevil.example%2Fwatch%2Fttl_abc', '/'],
  ['?to=%2F%2Fevil.example%2Fwatch', '/'],
  ['?to=watch%2Fttl_abc', '/'],
  ['?to=javascript%3Aalert(1)', '/'],
  ['?to=%2Fsign-in', '/'],
  ['?to=%2Foperate', '/'],
  ['?to=%2Faccount', '/'],
])('a sign-in with %s leads to %s and never off the site', (search, want) => expect(returnPath(search)).toBe(want));
