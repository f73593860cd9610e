import { expect, test } from 'vitest';
import { commandFor } from './keys';

const key = (k: string, modifier = {}) => ({ key: k, ctrlKey: false, metaKey: false, altKey: false, ...modifier });

test.each([
  [' ', 'toggle'], ['k', 'toggle'], ['K', 'toggle'], ['m', 'mute'], ['f', 'full'], ['c', 'text'], ['ArrowLeft', { skip: -10 }], ['ArrowRight', { skip: 10 }],
  ['ArrowUp', { louder: 0.1 }], ['0', { part: 0 }], ['9', { part: 0.9 }], ['x', undefined], ['Tab', undefined], ['Enter', undefined],
])('the key "%s" asks for %j', (k, want) => expect(commandFor(key(k), 'page')).toEqual(want));

test('the space bar presses the button that has the focus, and letters reach the player all the same', () => {
  expect(commandFor(key(' '), 'button')).toBeUndefined();
  expect(commandFor(key('k'), 'button')).toBe('toggle');
});

test('the browser\'s own shortcuts and text fields are left alone', () => {
  expect(commandFor(key('f', { ctrlKey: true }), 'page')).toBeUndefined();
  expect(commandFor(key('m', { metaKey: true }), 'page')).toBeUndefined();
  expect(commandFor(key('k'), 'field')).toBeUndefined();
});
