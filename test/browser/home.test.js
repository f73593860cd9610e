// The list of films, and the speed of one: what is found, how it is shown, and what is kept.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, leave, open, playedTo, watch } from './harness/browser.js';
import { makeLibrary } from './harness/library.js';
import { Service } from './harness/service.js';

describe('the list of films', { timeout: 300_000 }, () => {
  let library;
  let service;
  let browser;

  before(async () => {
    browser = await launch();
    library = await makeLibrary();
    service = await Service.open({ library: library.data });
    const film = `${import.meta.dirname}/../media/screen_kdenlive_1392x1040_11s.ogv`;
    await service.command('title', 'add', film, '--name', 'Pilot', '--series', 'Les Étoiles', '--episode', '1', '--genre', 'Documentary');
  });
  after(async () => {
    await browser?.close();
    await service?.close();
    await library?.remove();
  });

  const cards = (page) => page.locator('main h3').allTextContents();

  /** shows waits until the list has exactly these titles. */
  const shows = (page, names) =>
    page.waitForFunction((want) => JSON.stringify([...document.querySelectorAll('main h3')].map((h) => h.textContent).sort()) === want, JSON.stringify([...names].sort()));

  test('a search finds titles by parts of what is said of them, and stands in the address', async () => {
    const page = await open(await browser.newContext(), service.address);
    await shows(page, ['The Clock', 'Les Étoiles']);
    const field = page.getByRole('searchbox', { name: 'Search films' });
    await field.fill('etoil');
    await shows(page, ['Les Étoiles']);
    assert.equal(new URL(page.url()).search, '?q=etoil');
    await field.fill('CLOCK drama');
    await shows(page, ['The Clock']);
    await field.fill('documentary');
    await shows(page, ['Pilot']); // an episode is found too
    await field.fill('nothing like it');
    await page.getByRole('heading', { name: 'Nothing found' }).waitFor();
    await field.fill('clock');
    await field.press('Enter');
    await shows(page, ['The Clock']);
    await page.getByRole('link', { name: 'The Clock', exact: true }).click();
    await page.getByRole('heading', { name: 'The Clock' }).waitFor();
    await page.goBack();
    await shows(page, ['The Clock']);
    assert.equal(await field.inputValue(), 'clock', 'the way back leads to what was found');
    await page.getByRole('link', { name: 'Bijou, all films' }).click();
    await shows(page, ['The Clock', 'Les Étoiles']);
    assert.equal(await field.inputValue(), '', 'all films are shown, so nothing is searched for');
    page.clean();
  });

  test('a series leads to its seasons, those to their episodes, and an episode that was begun is among what is watched on', async () => {
    const page = await open(await browser.newContext(), service.address);
    const poster = page.locator('article', { hasText: 'Les Étoiles' }).locator('img');
    await page.waitForFunction((i) => i.complete && i.naturalWidth > 0, await poster.elementHandle());
    await page.getByRole('link', { name: 'Les Étoiles', exact: true }).last().click();
    await page.getByRole('heading', { name: 'Seasons' }).waitFor();
    await page.getByRole('link', { name: 'Season 1', exact: true }).last().click();
    await page.getByRole('heading', { name: 'Episodes' }).waitFor();
    await page.getByRole('link', { name: 'Play Pilot' }).click();
    await playedTo(page, 3);
    await leave(page);
    await page.getByRole('link', { name: 'Continue Pilot' }).waitFor();
    assert.deepEqual((await cards(page)).sort(), ['Les Étoiles', 'Pilot', 'The Clock']);
    page.clean();
  });

  test('a very long name takes two lines of its card, and all of it can be read', async () => {
    const page = await open(await browser.newContext(), service.address);
    await shows(page, ['The Clock', 'Les Étoiles']);
    const name = 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft'.repeat(3);
    await service.command('title', 'edit', 'Les Étoiles', '--name', name);
    try {
      for (const width of [320, 1280]) {
        await page.setViewportSize({ width, height: 700 });
        await page.reload();
        const link = page.getByRole('link', { name, exact: true }).last();
        const [lines, over, title] = await link.evaluate((a) => [
          Math.round(a.getBoundingClientRect().height / parseFloat(getComputedStyle(a).lineHeight)),
          document.documentElement.scrollWidth - innerWidth, a.title,
        ]);
        assert.deepEqual([lines, title], [2, name], `at ${width} px`);
        assert.ok(over <= 0, `the page is ${over} px wider than a window of ${width} px`);
      }
    } finally {
      await service.command('title', 'edit', name, '--name', 'Les Étoiles');
    }
    page.clean();
  });

  test('a film plays as fast as was chosen with the keyboard, also after the page is loaded anew, and another does not', async () => {
    const context = await browser.newContext();
    const page = await open(context, service.address);
    const rate = () => page.evaluate(() => document.querySelector('video').playbackRate);
    await watch(page);
    await playedTo(page, 1);
    assert.equal(await rate(), 1);
    await page.getByRole('button', { name: 'Settings' }).focus();
    await page.keyboard.press('Enter');
    const menu = page.getByRole('menu', { name: 'Settings' });
    await menu.getByRole('menuitemradio', { name: 'Normal', checked: true }).waitFor();
    assert.deepEqual((await menu.getByRole('group', { name: 'Speed' }).getByRole('menuitemradio').allTextContents()).map((t) => t.trim()),
      ['0.5×', '0.75×', 'Normal', '1.25×', '1.5×', '1.75×', '2×']);
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown', 'ArrowDown', 'Enter']) await page.keyboard.press(key);
    assert.equal(await rate(), 2);
    await page.reload();
    await playedTo(page, 1);
    assert.equal(await rate(), 2, 'after the page is loaded anew');
    await leave(page);
    await page.getByRole('link', { name: 'Les Étoiles', exact: true }).last().click();
    await page.getByRole('link', { name: 'Season 1', exact: true }).last().click();
    await page.getByRole('link', { name: 'Play Pilot' }).click();
    await playedTo(page, 0.5);
    assert.equal(await rate(), 1, 'of another film');
    page.clean();
  });
});
