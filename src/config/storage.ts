import { type Parsed, wrong } from '../policy/judged.ts';

/** Where audit, approvals and tokens are kept. */
export interface StoreTarget {
  readonly kind: 'sqlite';
  readonly path: string;
}

export function parseStore(text: string): Parsed<StoreTarget> {
  const path = /^sqlite:(.+)$/.exec(text)?.[1];
  if (path !== undefined) return { ok: true, value: { kind: 'sqlite', path } };
  if (/^postgres(?:ql)?:/.test(text)) {
    return wrong('a store in PostgreSQL is not there in this version; use sqlite:PATH');
  }
  return wrong('expected sqlite:PATH');
}

/** Names of roles with commas between; `*` for all of them. */
export function parseRoles(text: string): Parsed<readonly string[]> {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) return wrong('expected names of roles with commas between, or *');
  return { ok: true, value: names };
}

export function parsePaths(text: string): Parsed<readonly string[]> {
  const paths = text.split(',').map((path) => path.trim());
  return paths.includes('') ? wrong('expected paths with commas between') : { ok: true, value: paths };
}

/** A connection of the gateway's own, with credentials; never shown. */
export function parseConnection(text: string): Parsed<string> {
  const url = /^postgres(?:ql)?:\/\//.test(text) ? URL.parse(text) : null;
  if (url === null) return wrong('expected a URL like postgres://user:password@host:port/database');
  return { ok: true, value: text };
}

/** Without a slash at the end. */
export function parsePublicUrl(text: string): Parsed<string> {
  const url = /^https?:\/\//.test(text) ? URL.parse(text) : null;
  const isPlain = url !== null && `${url.username}${url.password}${url.search}${url.hash}` === '';
  return isPlain
    ? { ok: true, value: url.href.replace(/\/+$/, '') }
    : wrong('expected a URL like https://holdfast.example');
}
