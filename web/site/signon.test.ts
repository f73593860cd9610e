import { expect, test } from 'vitest';
import { codeOf } from './signon';

test.each([
  ['?state=s&code=c%2F1', { state: 's', code: 'c/1', error: '', binding: 'b' }],
  ['?state=s&error=access_denied', { state: 's', code: '', error: 'access_denied', binding: 'b' }],
  ['', { state: '', code: '', error: '', binding: 'b' }],
])('what the browser came back with in %s is handed on', (search, want) => expect(codeOf(search, 'b')).toEqual(want));
