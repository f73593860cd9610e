import { expect, test } from 'vitest';
import { languageName, rungs, sameLanguage, trackName } from './languages';

test.each([['en', 'English'], ['de', 'Deutsch'], ['und', 'Unknown language'], ['', 'Unknown language'], ['not a tag', 'not a tag']])(
  'the language %s is called %s', (tag, want) => expect(languageName(tag)).toBe(want));

test('a track is called by its label where that says more than the language', () => {
  expect(trackName('en', 'en')).toBe('English');
  expect(trackName('en', "Director's comments")).toBe("Director's comments");
  expect(trackName('en', null, 'captions')).toBe('English (captions)');
  expect(trackName('en', 'English SDH', 'captions')).toBe('English SDH');
});

test('regions of one language are the same language', () => {
  expect(sameLanguage('pt-BR', 'pt')).toBe(true);
  expect(sameLanguage('de', 'en')).toBe(false);
});

test('heights are offered tallest first, each once', () => expect(rungs([360, 720, null, 360, 0, 480])).toEqual([720, 480, 360]));
