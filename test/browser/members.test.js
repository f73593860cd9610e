// What a member does with an account: profiles, the PIN, the list, the password, sign-ins, and the end of it all.

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { accessible } from './harness/accessible.js';
import { launch, leave, open, playedTo, signIn, signUp, watch } from './harness/browser.js';
import { makeLibrary } from './harness/library.js';
import { Provider } from './harness/provider.js';
import { Service } from './harness/service.js';

describe('members', { timeout: 300_000 }, () => {
  let library;
  let service;
  let browser;

  before(async () => {
    browser = await launch();
    library = await makeLibrary();
  });
  after(async () => {
    await browser?.close();
    await library?.remove();
  });
  afterEach(() => service?.close());

  const serve = async (settings) => (service = await Service.open({ library: library.data, settings }));

  /** fits asserts that the page is no wider than its window and accessible, on a telephone and on a desk. */
  async function fits(page, what) {
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${what} is ${over} px wider than a window of ${width} px`);
      await accessible(page, `${what} at ${width} px`);
    }
  }

  /** addProfile makes a profile on the page of profiles. */
  async function addProfile(page, name, { children = false, pin } = {}) {
    await page.getByRole('button', { name: 'Add a profile' }).click();
    await page.getByLabel('Name').fill(name);
    if (children) await page.getByLabel('For children').check();
    await page.getByRole('button', { name: 'Save' }).click();
    if (pin) await typePin(page, pin);
    await page.getByRole('button', { name: `Edit ${name}` }).waitFor();
  }

  async function typePin(page, pin) {
    await page.locator('#pin-digits').fill(pin);
    await page.getByRole('button', { name: 'Go on' }).click();
  }

  test('a film goes on the list and off it, and each profile has its own', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    await signUp(page);
    await page.getByRole('link', { name: 'The Clock', exact: true }).click();
    const button = page.getByRole('button', { name: 'My list' });
    await button.click();
    await page.locator('button[aria-pressed="true"]').waitFor();
    await fits(page, 'title');
    await page.getByRole('link', { name: 'Bijou, all films' }).click();
    await page.getByRole('heading', { name: 'My list' }).waitFor();
    await fits(page, 'home with a list');
    await page.getByRole('link', { name: /^Watching:/ }).click();
    await page.getByRole('button', { name: 'Manage profiles' }).click();
    await addProfile(page, 'Bob');
    await fits(page, 'profiles');
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Bob' }).click();
    await page.getByRole('heading', { name: 'Films' }).waitFor();
    await page.getByRole('link', { name: 'Watching: Bob' }).waitFor();
    assert.equal(await page.getByRole('heading', { name: 'My list' }).count(), 0);
    await page.getByRole('link', { name: 'Watching: Bob' }).click();
    await page.getByRole('button', { name: /^ada/ }).click();
    await page.getByRole('heading', { name: 'My list' }).waitFor();
    await page.getByRole('link', { name: 'The Clock', exact: true }).first().click();
    await page.locator('button[aria-pressed="true"]').click();
    await page.locator('button[aria-pressed="false"]').waitFor();
    await page.reload();
    await page.locator('button[aria-pressed="false"]').waitFor();
    page.clean();
  });

  test("a children's profile sees what is rated for children, and the PIN keeps it there", async () => {
    // The Clock is rated from 6; the bundled films are not in this library. One more is rated from 16.
    await serve();
    await service.command('title', 'add', join(import.meta.dirname, '../media/sintel_trailer_408p_10s.mp4'), '--name', 'The Axe', '--age', '16');
    const page = await open(await browser.newContext(), service.address);
    const who = await signUp(page);
    await page.getByRole('link', { name: 'The Axe', exact: true }).click();
    await page.getByRole('heading', { name: 'The Axe' }).waitFor();
    const axe = page.url();
    await page.goto(service.address + '/account');
    await page.locator('#digits').fill('1234');
    await page.locator('#pin-password').fill(who.password);
    await page.getByRole('button', { name: 'Set PIN' }).click();
    await page.getByText('The PIN is set.').waitFor();
    await page.getByRole('link', { name: 'See the profiles' }).click();
    await page.getByRole('button', { name: 'Manage profiles' }).click();
    await addProfile(page, 'Kim', { children: true, pin: '1234' });
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Kim' }).click();
    await page.getByRole('link', { name: 'Play The Clock' }).waitFor();
    assert.equal(await page.getByText('The Axe').count(), 0, 'a film from 16 is shown to a child');
    assert.equal(await page.getByRole('link', { name: 'Account' }).count(), 0, 'a child is led to the account');
    await page.goto(axe);
    await page.getByRole('heading', { name: 'There is nothing here' }).waitFor();
    await page.goto(axe.replace('/title/', '/watch/'));
    await page.getByRole('heading', { name: /nothing here|no title/i }).or(page.getByRole('alert')).first().waitFor();
    await page.goto(service.address + '/profiles');
    await page.getByRole('button', { name: /^ada/ }).click();
    await typePin(page, '4321');
    await page.getByRole('alert').filter({ hasText: 'The PIN is wrong' }).waitFor();
    await accessible(page, 'PIN dialog');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: /^ada/ }).click();
    await typePin(page, '1234');
    await page.getByRole('link', { name: 'The Axe', exact: true }).waitFor();
    page.clean(/status 40[34]|status of 40[34]/);
  });

  test('who signs in and has several profiles says who is watching', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    const who = await signUp(page);
    await page.getByRole('link', { name: /^Watching:/ }).click();
    await page.getByRole('button', { name: 'Manage profiles' }).click();
    await addProfile(page, 'Bob');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await signIn(page, who);
    await page.getByRole('heading', { name: 'Who is watching?' }).waitFor();
    // By the keyboard alone.
    await page.getByRole('button', { name: 'Bob' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Watching: Bob' }).waitFor();
    // Who deletes the profile that watches is asked anew.
    await page.getByRole('link', { name: 'Watching: Bob' }).click();
    await page.getByRole('button', { name: 'Manage profiles' }).click();
    await page.getByRole('button', { name: 'Edit Bob' }).click();
    page.once('dialog', (d) => d.accept());
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('button', { name: 'Edit Bob' }).waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'Bijou, all films' }).click();
    await page.getByRole('heading', { name: 'Who is watching?' }).waitFor();
    page.clean();
  });

  test('a forgotten password is set anew by the link of the mail, and ends every other sign-in', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    const who = await signUp(page);
    const other = await open(await browser.newContext(), service.address);
    await other.getByRole('link', { name: 'Sign in' }).click();
    await other.getByRole('link', { name: 'Forgot your password?' }).click();
    await fits(other, 'forgotten password');
    await other.getByLabel('E-mail address').fill(who.email);
    await other.getByRole('button', { name: 'Send the link' }).click();
    await other.getByText('a mail with a link is on its way').waitFor();
    const link = await lastLink();
    assert.ok(link.startsWith(service.address + '/reset-password#'), link);
    await service.restart('SIGKILL');
    await other.goto(link);
    await fits(other, 'new password');
    await other.getByLabel('New password').fill('password1');
    await other.getByRole('button', { name: 'Set password' }).click();
    await other.getByRole('alert').filter({ hasText: 'guessed first' }).waitFor();
    await other.getByLabel('New password').fill('a better password');
    await other.getByRole('button', { name: 'Set password' }).click();
    await other.getByRole('button', { name: 'Sign out' }).waitFor();
    await page.reload();
    await page.getByRole('link', { name: 'Sign in' }).waitFor();
    await signIn(page, { ...who, password: 'a better password' });
    await page.goto(link);
    await page.getByLabel('New password').fill('yet another one');
    await page.getByRole('button', { name: 'Set password' }).click();
    await page.getByRole('alert').filter({ hasText: 'used already' }).waitFor();
    other.clean(/status 400|status of 400/);
    page.clean(/status 404|status of 404/);
  });

  /** lastLink waits for a message in the outbox and returns its link. */
  async function lastLink() {
    for (;;) {
      const folder = join(service.folder, 'outbox');
      const names = await readdir(folder).catch(() => []);
      const name = names.filter((n) => n.endsWith('.eml')).sort().at(-1);
      if (name) return /\S+\/reset-password#\S+/.exec(await readFile(join(folder, name), 'utf8'))[0];
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  test('the account page changes the password, ends sign-ins, gives the data out, and deletes the account', async () => {
    await serve();
    const page = await open(await browser.newContext(), service.address);
    const who = await signUp(page);
    const phone = await open(await browser.newContext(), service.address);
    await signIn(phone, who);
    await page.getByRole('link', { name: 'Account' }).click();
    await page.getByText('this one').waitFor();
    assert.equal(await page.getByRole('button', { name: /^End the sign-in of Chrome on Linux/ }).count(), 1);
    await fits(page, 'account');
    await page.getByRole('button', { name: /^End the sign-in of/ }).click();
    await page.getByText('The sign-in has ended.').waitFor();
    await phone.reload();
    await phone.getByRole('link', { name: 'Sign in' }).waitFor();
    await page.getByLabel('Old password').fill('wrong password');
    await page.getByLabel('New password').fill('a better password');
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByRole('alert').filter({ hasText: 'The password is wrong' }).waitFor();
    await page.getByLabel('Old password').fill(who.password);
    await page.getByRole('button', { name: 'Change password' }).click();
    await page.getByText('The password is changed').waitFor();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download your data' }).click()]);
    const file = join(service.folder, 'export.json');
    await download.saveAs(file);
    const data = JSON.parse(await readFile(file, 'utf8'));
    assert.equal(data.account.email, who.email);
    assert.equal(data.sessions.length, 1);
    await page.goto(service.address + '/sign-up');
    await page.getByRole('heading', { name: 'Account', exact: true }).waitFor();
    page.once('dialog', (d) => d.accept());
    await page.locator('#last-password').fill('a better password');
    await page.getByRole('button', { name: 'Delete the account' }).click();
    await page.getByRole('link', { name: 'Sign up' }).waitFor();
    assert.match(await service.command('account', 'list'), /No accounts/);
    page.clean(/status 403|status of 403/);
    phone.clean();
  });

  /** knownBy has the service know a provider. */
  async function knownBy(provider) {
    await serve();
    await service.end();
    Object.assign(service.settings, { address: service.address, 'members.oidc.issuer': provider.issuer, 'members.oidc.client_id': 'bijou' });
    await service.start();
    return `Continue with ${new URL(provider.issuer).host}`;
  }

  test('whoever signs on through a provider is a member from then on, and keeps the place in the film', async () => {
    const provider = await Provider.open();
    try {
      const name = await knownBy(provider);
      provider.claims = { email: 'grace@example.org', email_verified: true, sub: '0815' };
      const page = await open(await browser.newContext(), service.address);
      await watch(page);
      await playedTo(page, 3);
      await leave(page);
      await page.getByRole('link', { name: 'The Clock', exact: true }).click();
      const title = page.url();
      await page.getByRole('link', { name: 'Sign in' }).click();
      await page.getByRole('button', { name }).waitFor();
      await fits(page, 'sign-in with a provider');
      await page.getByRole('button', { name }).click();
      await page.getByRole('link', { name: 'Watching: grace' }).waitFor();
      await page.waitForURL(title); // where the sign-on was asked for
      await page.getByRole('link', { name: 'Bijou, all films' }).click();
      await page.getByRole('link', { name: 'Continue The Clock' }).waitFor();

      // Another browser finds the same account, with the place. Nothing there asks for a password, which the account does not have.
      provider.claims = { email: 'grace.hopper@example.org', email_verified: true, sub: '0815' };
      const other = await open(await browser.newContext(), service.address + '/sign-in');
      await other.getByRole('button', { name }).click();
      await other.getByRole('link', { name: 'Continue The Clock' }).waitFor();
      assert.match(await service.command('account', 'list'), /grace@example\.org/);
      await other.getByRole('link', { name: 'Account' }).click();
      await other.getByText('You have none, and sign on by', { exact: false }).waitFor();
      await fits(other, 'account without a password');
      other.once('dialog', (d) => d.accept());
      await other.getByRole('button', { name: 'Delete the account' }).click();
      await other.getByRole('link', { name: 'Sign up' }).waitFor();
      assert.match(await service.command('account', 'list'), /No accounts/);
      page.clean();
      other.clean();
    } finally {
      await provider.close();
    }
  });

  test('a member with a password connects the provider, and signs in by the password while that is down', async () => {
    const provider = await Provider.open();
    try {
      const name = await knownBy(provider);
      const page = await open(await browser.newContext(), service.address);
      const who = await signUp(page);
      provider.claims = { email: who.email, email_verified: true };
      await page.getByRole('button', { name: 'Sign out', exact: true }).click();
      await page.getByRole('link', { name: 'Sign in' }).click();
      await page.getByRole('button', { name }).click();
      await page.getByText('sign in with its password, then connect', { exact: false }).waitFor();
      await fits(page, 'sign-on refused');
      await page.getByRole('link', { name: 'Back to the sign-in' }).click();
      await signIn(page, who);
      await page.getByRole('link', { name: 'Account' }).click();
      await page.getByRole('button', { name: /^Connect / }).click();
      await page.getByRole('heading', { name: 'Connect your account' }).waitFor();
      await fits(page, 'connect');
      await page.getByLabel('Your password').fill('wrong password');
      await page.getByRole('button', { name: 'Connect', exact: true }).click();
      await page.getByText('The password is wrong', { exact: false }).waitFor();
      await page.getByLabel('Your password').fill(who.password);
      await page.getByRole('button', { name: 'Connect', exact: true }).click();
      await page.locator('#sign-on-password').waitFor();
      await page.getByRole('button', { name: 'Sign out', exact: true }).click();
      await page.getByRole('link', { name: 'Sign in' }).click();
      await page.getByRole('button', { name }).click();
      await page.getByRole('link', { name: 'Account' }).click();
      await page.locator('#sign-on-password').fill(who.password);
      await page.getByRole('button', { name: 'Disconnect' }).click();
      await page.getByRole('button', { name: /^Connect / }).waitFor();

      // Whoever is lured to the end of another's sign-on is not signed in.
      await page.getByRole('button', { name: 'Sign out', exact: true }).click();
      await page.goto(service.address + '/signed-on?state=x&code=y');
      await page.getByText('This sign-on was not begun in this browser', { exact: false }).waitFor();
      await provider.close();
      await service.restart();
      await page.goto(service.address + '/sign-in');
      await page.getByRole('button', { name }).click();
      await page.getByText('sign in with a password, or try again later', { exact: false }).waitFor();
      await signIn(page, who);
      page.clean(/status (409|403|401|503)|status of (409|403|401|503)/);
    } finally {
      await provider.close();
    }
  });

  test('a service that is closed to strangers says so, and its operator lets people in', async () => {
    await serve({ 'members.sign_up': 'closed' });
    const page = await open(await browser.newContext(), service.address);
    await page.getByRole('link', { name: 'Sign in' }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'Sign up' }).count(), 0);
    await page.goto(service.address + '/sign-up');
    await page.getByText('Ask who runs this service').waitFor();
    const link = (await service.command('account', 'add', 'bob@example.org')).trim();
    await page.goto(link);
    await page.getByLabel('New password').fill('a better password');
    await page.getByRole('button', { name: 'Set password' }).click();
    await page.getByRole('link', { name: 'Watching: bob' }).waitFor();
    page.clean();
  });
});
