// Languages and pictures' heights as menus show them.

/** languageName returns the language's own name, such as Deutsch. */
export function languageName(tag: string): string {
  if (!tag || tag === 'und') return 'Unknown language';
  try {
    const name = new Intl.DisplayNames([tag], { type: 'language', fallback: 'code' }).of(tag) ?? tag;
    return name.charAt(0).toLocaleUpperCase(tag) + name.slice(1);
  } catch {
    return tag; // no language tag
  }
}

/** sameLanguage compares the languages of two tags, not their regions. */
export function sameLanguage(a: string, b: string): boolean {
  const base = (tag: string) => tag.toLowerCase().split('-')[0];
  return base(a) === base(b);
}

/** trackName is what a menu calls a track: its label where it says more than the language. */
export function trackName(language: string, label: string | null | undefined, kind?: string | null): string {
  const name = label && label.toLowerCase() !== language.toLowerCase() ? label : languageName(language);
  return kind === 'captions' && !/caption|SDH|CC/i.test(name) ? `${name} (captions)` : name;
}

/** rungs returns the heights to choose from, tallest first, each once. */
export function rungs(heights: (number | null | undefined)[]): number[] {
  return [...new Set(heights.filter((h): h is number => typeof h === 'number' && h > 0))].sort((a, b) => b - a);
}
