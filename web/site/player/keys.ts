// The player's keyboard.

export type Command = 'toggle' | 'mute' | 'full' | 'text' | { skip: number } | { louder: number } | { part: number };

/** commandFor returns what a key asks for, or nothing where it is another's: a text field's, a slider's, a button's own. */
export function commandFor(event: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'altKey'>, target: 'page' | 'button' | 'field'): Command | undefined {
  if (event.ctrlKey || event.metaKey || event.altKey || target === 'field') return undefined;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  switch (key) {
    case ' ':
      return target === 'button' ? undefined : 'toggle'; // it presses the button
    case 'k':
      return 'toggle';
    case 'm':
      return 'mute';
    case 'f':
      return 'full';
    case 'c':
      return 'text';
    case 'j':
    case 'ArrowLeft':
      return { skip: -10 };
    case 'l':
    case 'ArrowRight':
      return { skip: 10 };
    case 'ArrowUp':
      return { louder: 0.1 };
    case 'ArrowDown':
      return { louder: -0.1 };
  }
  return /^[0-9]$/.test(key) ? { part: Number(key) / 10 } : undefined;
}
