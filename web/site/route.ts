// Which page an address shows.

/** Pages whose address is their name. */
const plain = ['sign-in', 'sign-up', 'forgot-password', 'reset-password', 'signed-on', 'profiles', 'account'] as const;

export type Page =
  | { name: 'home' }
  | { name: 'title'; id: string }
  | { name: 'watch'; id: string }
  | { name: (typeof plain)[number] }
  | { name: 'operate'; part: OperatePart }
  | { name: 'missing' };

/** What the pages show to who runs the service. */
export type OperatePart = 'users' | 'audit' | 'pulse' | 'stores' | 'welcome' | 'signed-on';

const operateParts: readonly string[] = ['users', 'audit', 'pulse', 'stores', 'welcome', 'signed-on'] satisfies OperatePart[];

const titleID = /^ttl_[0-9a-z]{1,64}$/;

/** pageOf returns the page that a path shows. */
export function pageOf(path: string): Page {
  const [first = '', second, ...rest] = path.replace(/^\/|\/$/g, '').split('/');
  if (second === undefined) {
    if (first === '') return { name: 'home' };
    if (first === 'operate') return { name: 'operate', part: 'users' };
    const name = plain.find((n) => n === first);
    if (name) return { name };
  } else if (rest.length === 0 && (first === 'title' || first === 'watch') && titleID.test(second)) {
    return { name: first, id: second };
  } else if (rest.length === 0 && first === 'operate' && operateParts.includes(second)) {
    return { name: 'operate', part: second as OperatePart };
  }
  return { name: 'missing' };
}

/** returnPath says where a sign-in leads back to: a path of this site, whatever the address asks for. */
export function returnPath(search: string): string {
  const to = new URLSearchParams(search).get('to') ?? '/';
  const page = pageOf(to.split(/[?#]/)[0] ?? '');
  return to.startsWith('/') && !to.startsWith('//') && (page.name === 'title' || page.name === 'watch') ? to : '/';
}
