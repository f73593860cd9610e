// What the people who run the service do in a browser.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { accessible } from './harness/accessible.js';
import { launch, open } from './harness/browser.js';
import { Provider } from './harness/provider.js';
import { Service } from './harness/service.js';

const password = 'four words are enough';

describe('operate', { timeout: 120_000 }, () => {
  let browser;
  let service;

  before(async () => (browser = await launch()));
  after(() => browser?.close());
  afterEach(() => service?.close());

  /** visit opens an address in a browser of its own. */
  const visit = async (address, options) => open(await browser.newContext(options), address);

  /** look asserts that the page can be used by everyone, and keeps a picture of it where the test is asked to. */
  async function look(page, name) {
    await accessible(page, name);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(over <= 0, `${name} is ${over} px wider than its window`);
    if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${name}.png` });
  }

  async function signIn(page, name) {
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  }

  test('a store whose server is away is named, in wide windows and in narrow ones', async () => {
    service = await Service.open({ settings: { bundled_films: 'false', appliances: '0', 'stores.cache': 'memcached://127.0.0.1:1' } });
    const root = await visit(await service.first);
    await root.getByLabel('Your name').fill('root');
    await root.getByLabel('New password').fill(password);
    await root.getByRole('button', { name: 'Become administrator' }).click();
    await root.getByRole('link', { name: 'Stores' }).click();
    await root.getByText('Degraded: what is kept near cannot be used.').waitFor();
    const cache = root.getByRole('row', { name: 'cache' });
    assert.match(await cache.textContent(), /memcached:\/\/127\.0\.0\.1:1.*away.*does not serve/s);
    assert.match(await root.getByRole('row', { name: 'titles' }).textContent(), /own data directory.*works/s);
    await look(root, 'stores');
    await root.setViewportSize({ width: 360, height: 740 });
    await look(root, 'stores-narrow');
    root.clean();
  });

  test('the first administrator makes their user, adds people, and reads who did what', async () => {
    service = await Service.open({ settings: { bundled_films: 'false', appliances: '0' } });
    const address = await service.first;
    const root = await visit(address);
    await root.getByRole('heading', { name: 'The first administrator' }).waitFor();
    await look(root, 'first');
    await root.getByLabel('Your name').fill('Root');
    await root.getByLabel('New password').fill(password);
    await root.getByRole('button', { name: 'Become administrator' }).click();
    await root.getByRole('rowheader', { name: 'root' }).waitFor();
    assert.ok(!root.url().includes('#'), 'the token stays in the address');
    root.clean();

    // The address works once.
    const late = await visit(address);
    await late.getByText('this one-time address is unknown, was used, or has ended', { exact: false }).waitFor();
    late.clean(/status 401|status of 401/);

    // Someone is added, and sets a password.
    await root.getByLabel('Add someone').fill('ada');
    await root.getByLabel('Role', { exact: true }).selectOption('viewer');
    await root.getByRole('button', { name: 'Add', exact: true }).click();
    const welcome = await root.getByText('/operate/welcome#').textContent();
    await look(root, 'users');
    const ada = await visit(welcome, { colorScheme: 'dark', viewport: { width: 360, height: 740 } });
    await ada.getByRole('heading', { name: 'Welcome, ada' }).waitFor();
    await ada.getByLabel('New password').fill(password);
    await look(ada, 'welcome');
    await ada.getByRole('button', { name: 'Set password' }).click();
    await ada.getByRole('rowheader', { name: 'root' }).waitFor();
    assert.equal(await ada.getByRole('button', { name: 'Remove' }).count(), 0, 'a viewer is offered changes');
    await look(ada, 'users-viewer');
    await ada.getByRole('link', { name: 'Audit log' }).click();
    await ada.getByRole('cell', { name: 'POST /api/v1/operators', exact: true }).waitFor();
    await look(ada, 'audit-narrow');

    // A role that changes ends the session at once.
    await root.getByLabel('Role of ada').selectOption('operator');
    await root.getByText('not yet: invited').waitFor({ state: 'detached' });
    await ada.getByRole('button', { name: 'Show' }).click();
    await ada.getByRole('heading', { name: 'Sign in to operate' }).waitFor();
    await look(ada, 'sign-in');
    await ada.getByLabel('Name', { exact: true }).fill('ada');
    await ada.getByLabel('Password').fill('wrong');
    await ada.getByRole('button', { name: 'Sign in', exact: true }).click();
    await ada.getByText('The name or the password is wrong.').waitFor();
    await signIn(ada, 'ADA');
    await ada.getByText('operator', { exact: true }).first().waitFor();
    ada.clean(/status 401|status of 401/);

    // The last administrator stays; everyone else goes when asked twice.
    await root.getByRole('button', { name: 'Remove root' }).click();
    await root.getByRole('button', { name: 'Really remove root' }).click();
    await root.getByText('Root is the last administrator: make another one first.').waitFor();
    await root.getByRole('button', { name: 'Remove ada' }).click();
    await root.getByRole('button', { name: 'Really remove ada' }).click();
    await root.getByRole('rowheader', { name: 'ada' }).waitFor({ state: 'detached' });

    await root.getByRole('link', { name: 'Audit log' }).click();
    await root.getByText('root is the last administrator').waitFor();
    await root.getByText('the name or the password is wrong').waitFor();
    await look(root, 'audit');
    await root.getByLabel('Only what this user did').fill('ada');
    await root.getByRole('button', { name: 'Show' }).click();
    await root.getByText('root is the last administrator').waitFor({ state: 'detached' });
    await root.getByRole('button', { name: 'Sign out' }).click();
    await root.getByRole('heading', { name: 'Sign in to operate' }).waitFor();
    root.clean(/status 409|status of 409/);
  });

  test('how viewers fare is seen as it happens, over time, and by what played', async () => {
    service = await Service.open({ settings: { appliances: '0' } });
    const page = await visit(await service.first);
    await page.getByLabel('Your name').fill('root');
    await page.getByLabel('New password').fill(password);
    await page.getByRole('button', { name: 'Become administrator' }).click();
    await page.getByRole('link', { name: 'Pulse' }).click();
    await page.getByText('0 of 7 days known').waitFor();
    await page.getByRole('row', { name: /^in all 0 / }).waitFor();

    const { titles } = await (await fetch(service.address + '/api/v1/titles')).json();
    const fact = (session, seq, kind, more) => ({ kind, session, seq, title: `ttl_${session.at(-1)}`, player: 'test/1', position_ms: 0, ...more });
    const facts = ['ply_1', 'ply_2', 'ply_1x1'].flatMap((s) => [fact(s, 1, 'start'), fact(s, 2, 'first_frame', { duration_ms: 800 })]);
    const [{ id, name }] = titles;
    facts.push(fact('ply_3', 1, 'start', { title: id }), fact('ply_3', 2, 'error', { title: id, cause: 'manifest' }));
    const sent = await fetch(`${service.address}/api/v1/facts`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ facts }) });
    assert.equal(sent.status, 202);
    await page.locator('dt:text-is("Failed starts") + dd:text-is("1")').waitFor(); // it comes by itself

    await page.getByRole('combobox', { name: /^by/ }).selectOption('player');
    await page.getByRole('row', { name: /^test\/1 4 .* 1 \(25 %\) manifest 1 / }).waitFor();
    await page.getByRole('combobox', { name: /^Show/ }).selectOption('the last 24 hours');
    await page.getByText('The figures as a table').click();
    await page.getByRole('region', { name: 'Figures over time' }).getByRole('row').nth(1).waitFor();
    assert.equal(await page.getByRole('img').count(), 4, 'charts');
    await look(page, 'pulse');
    await page.getByRole('combobox', { name: /^by/ }).selectOption('title');
    await page.getByRole('row', { name: /^ttl_1 / }).waitFor(); // which is in no library
    await page.getByRole('rowheader', { name, exact: true }).waitFor();
    await page.setViewportSize({ width: 360, height: 740 });
    await look(page, 'pulse-narrow');
    page.clean(/^\b$/);
  });

  test('people sign on through a provider, and by name and password while it is down', async () => {
    const provider = await Provider.open();
    try {
      service = await Service.open({ settings: { bundled_films: 'false', appliances: '0' } });
      await service.end();
      Object.assign(service.settings, {
        address: service.address, 'operators.oidc.issuer': provider.issuer, 'operators.oidc.client_id': 'bijou', 'operators.roles': 'staff=operator',
      });
      await service.start();
      provider.claims = { email: 'ada@example.org', email_verified: true, groups: ['staff'] };
      const ada = await visit(service.address + '/operate');
      const button = ada.getByRole('button', { name: `Continue with ${new URL(provider.issuer).host}` });
      await button.waitFor();
      await look(ada, 'sign-on');
      await button.click();
      await ada.getByRole('rowheader', { name: 'ada@example.org' }).waitFor();
      assert.equal(new URL(ada.url()).search, '', 'the code stays in the address');
      await ada.getByRole('button', { name: 'Sign out' }).click();
      ada.clean();

      provider.claims = { email: 'eve@example.org', email_verified: true };
      await button.click();
      await ada.getByText('The sign-on provider knows you, but nothing gives you a role here: ask an administrator.').waitFor();
      await look(ada, 'sign-on-refused');
      await ada.getByRole('link', { name: 'Back to the sign-in' }).click();

      // Whoever is lured to the end of another's sign-on is not signed in.
      await ada.goto(service.address + '/operate/signed-on?state=x&code=y');
      await ada.getByText('This sign-on was not begun in this browser', { exact: false }).waitFor();
      await ada.goto(service.address + '/operate');
      await button.waitFor(); // what the page asks is answered before the service goes

      await provider.close();
      await service.restart();
      await ada.goto(service.address + '/operate');
      await button.click();
      await ada.getByText('sign in with a password, or try again later', { exact: false }).waitFor();
      ada.clean(/status 401|status of 401|status 503|status of 503/);
      const root = await visit(await service.first);
      await root.getByLabel('Your name').fill('root');
      await root.getByLabel('New password').fill(password);
      await root.getByRole('button', { name: 'Become administrator' }).click();
      await root.getByRole('rowheader', { name: 'root' }).waitFor();
      root.clean();
    } finally {
      await provider.close();
    }
  });
});
