// The address bar: which page is shown, and links that change it without loading the site anew.

import { pageOf } from './route';

let path = $state(location.pathname);
let search = $state(location.search);

export const place = {
  get path() {
    return path;
  },
  get search() {
    return search;
  },
  get page() {
    return pageOf(path);
  },
};

/** go shows the page at an address of this site. */
export function go(to: string, options: { replace?: boolean } = {}): void {
  const url = new URL(to, location.href);
  if (options.replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  arrive();
  scrollTo(0, 0);
}

function arrive(): void {
  path = location.pathname;
  search = location.search;
}

/** followLinks makes plain clicks on links of this site, and the browser's back and forward, change the page. */
export function followLinks(): () => void {
  const click = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    // Files have a dot in their name; pages have none.
    if (link.pathname.includes('.') || (link.hash && link.pathname === location.pathname)) return;
    event.preventDefault();
    if (link.href !== location.href) go(link.href);
  };
  document.addEventListener('click', click);
  addEventListener('popstate', arrive);
  return () => {
    document.removeEventListener('click', click);
    removeEventListener('popstate', arrive);
  };
}
