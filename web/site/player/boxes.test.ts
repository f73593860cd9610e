import { expect, test } from 'vitest';
import { Boxes } from './boxes';

const manifest = `<MPD><BaseURL serviceLocation="apl_near">http://127.0.0.1:8081/g/T/ast_1/</BaseURL>
 <BaseURL serviceLocation="apl_far">https://box.example.org/g/T/ast_1/</BaseURL><BaseURL>t-en/text.vtt</BaseURL>
 <BaseURL serviceLocation="apl_door">/g/T/ast_1/</BaseURL><BaseURL serviceLocation="cdn">https://cdn.example.org/</BaseURL></MPD>`;

test('an address tells its appliance as the manifest does', () => {
  const b = new Boxes();
  b.learn(manifest, 'http://tv.example.org/api/v1/plays/T/manifest.mpd');
  expect(b.of('http://127.0.0.1:8081/g/T2/ast_1/v720/1.m4s?CMCD=su')).toBe('apl_near');
  expect(b.of('https://box.example.org/g/T/ast_1/v720/1.m4s')).toBe('apl_far');
  expect(b.of('http://tv.example.org/g/T/ast_1/v720/1.m4s')).toBe('apl_door');
  for (const unknown of ['http://127.0.0.1:8082/g/T/x', 'https://cdn.example.org/x', 'nothing', '']) expect(b.of(unknown)).toBeUndefined();
});

test('what is no manifest names nobody', () => {
  const b = new Boxes();
  for (const text of ['', '<BaseURL serviceLocation="apl_x">http://[</BaseURL>', '<BaseURL>']) b.learn(text, 'http://a/');
  expect(b.of('http://a/')).toBeUndefined();
});
