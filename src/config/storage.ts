import { type Parsed, wrong } from '../policy/judged.ts';

/** Where audit, approvals and tokens are kept. */
export interface StoreTarget {
  readonly kind: 'sqlite';
  readonly path: string;
}

/** Where before-images are kept. */
export type SnapshotTarget =
  | { readonly kind: 'file'; readonly directory: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      /** Without slashes at its ends; empty where there is none. */
      readonly prefix: string;
      /** Null is the provider's own. */
      readonly endpoint: string | null;
    };

export function parseStore(text: string): Parsed<StoreTarget> {
  const path = /^sqlite:(.+)$/.exec(text)?.[1];
  if (path !== undefined) return { ok: true, value: { kind: 'sqlite', path } };
  if (/^postgres(?:ql)?:/.test(text)) {
    return wrong('a store in PostgreSQL is not there in this version; use sqlite:PATH');
  }
  return wrong('expected sqlite:PATH');
}

const S3_FORM = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([^@]*))?(?:@(https?:\/\/.+))?$/;

export function parseSnapshots(text: string): Parsed<SnapshotTarget> {
  const directory = /^file:(.+)$/.exec(text)?.[1];
  if (directory !== undefined) return { ok: true, value: { kind: 'file', directory } };
  const match = S3_FORM.exec(text);
  if (match === null)
    return wrong('expected file:DIRECTORY, s3://bucket/prefix or s3://bucket@http://host:port');
  const endpoint = match[3] ?? null;
  if (endpoint !== null) {
    const url = URL.parse(endpoint);
    if (url === null) return wrong('the endpoint after @ is not a URL');
    if (url.username !== '' || url.password !== '') {
      return wrong('takes no credentials in the endpoint: they come from the environment of the AWS SDK');
    }
  }
  const prefix = (match[2] ?? '').replace(/^\/+|\/+$/g, '');
  return { ok: true, value: { kind: 's3', bucket: match[1]!, prefix, endpoint } };
}

/** A connection of the gateway's own, with credentials; never shown. */
export function parseConnection(text: string): Parsed<string> {
  const url = /^postgres(?:ql)?:\/\//.test(text) ? URL.parse(text) : null;
  if (url === null) return wrong('expected a URL like postgres://user:password@host:port/database');
  return { ok: true, value: text };
}
