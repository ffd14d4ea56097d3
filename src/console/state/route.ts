import { Cell } from './cell.ts';

/**
 * Where in the console somebody is: `#/queue/apr_…`, `#/audit?role=etl`. Behind the `#`, so that any web server or
 * proxy can give the page, and nothing of it, such as a search, is sent to one.
 */
export interface Route {
  readonly view: View;
  readonly id: string | null;
  readonly query: URLSearchParams;
}

export const VIEWS = ['queue', 'audit', 'snapshots', 'policy', 'overview', 'tokens'] as const;
export type View = (typeof VIEWS)[number];

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [first = '', id = ''] = path.split('/');
  // The name that the API has for it may stand in links from elsewhere.
  const asked = first === 'approvals' ? 'queue' : first;
  const view = VIEWS.find((one) => one === asked) ?? 'queue';
  return { view, id: id === '' ? null : decode(id), query: new URLSearchParams(query) };
}

export function hrefOf(view: View, id: string | null = null, query: Readonly<Record<string, string>> = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== '');
  const search = given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
  return `#/${view}${id === null ? '' : `/${encodeURIComponent(id)}`}${search}`;
}

export const route = new Cell<Route>(parseRoute(globalThis.location?.hash ?? ''));

export function followAddress(): void {
  addEventListener('hashchange', () => route.set(parseRoute(location.hash)));
}

/** Goes there without a step that the Back button would have to undo. */
export function moveTo(href: string): void {
  history.replaceState(null, '', href);
  route.set(parseRoute(href));
}

export function goTo(href: string): void {
  location.hash = href;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
