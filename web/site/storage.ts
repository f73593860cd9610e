// What this browser remembers between visits.

class Memory implements Storage {
  private readonly kept = new Map<string, string>();
  get length() {
    return this.kept.size;
  }
  clear() {
    this.kept.clear();
  }
  getItem(key: string) {
    return this.kept.get(key) ?? null;
  }
  key(index: number) {
    return [...this.kept.keys()][index] ?? null;
  }
  removeItem(key: string) {
    this.kept.delete(key);
  }
  setItem(key: string, value: string) {
    this.kept.set(key, value);
  }
}

/** memory returns a Storage that lasts as long as the page. */
export function memory(): Storage {
  return new Memory();
}

function open(): Storage {
  try {
    localStorage.length; // a browser that blocks site data throws here
    return localStorage;
  } catch {
    return memory();
  }
}

export const storage = open();

/** choice reads a remembered choice. */
export function choice(name: string): string | null {
  return storage.getItem('bijou.' + name);
}

/** remember keeps a choice; null forgets it. */
export function remember(name: string, value: string | null): void {
  try {
    if (value === null) storage.removeItem('bijou.' + name);
    else storage.setItem('bijou.' + name, value);
  } catch {
    // Full: the choice holds for this page alone.
  }
}
