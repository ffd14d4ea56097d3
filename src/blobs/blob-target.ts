import { type Parsed, wrong } from '../policy/judged.ts';
import { didYouMean } from '../policy/suggest.ts';
import { isBlobKey } from './blob-key.ts';

/** Where blobs are kept. */
export type BlobTarget =
  | { readonly kind: 'file'; readonly directory: string }
  | ({ readonly kind: 's3' } & S3Target);

export interface S3Target {
  readonly bucket: string;
  /** Without slashes at its ends; empty where there is none. */
  readonly prefix: string;
  /** Null is AWS's own. */
  readonly endpoint: string | null;
  /** Null is what the environment of the AWS SDK says. */
  readonly region: string | null;
  /** The bucket in the path and not in the host's name. */
  readonly pathStyle: boolean;
  readonly encryption: S3Encryption | null;
  readonly lock: S3Lock | null;
}

export type S3Encryption =
  | { readonly kind: 'AES256' }
  /** A null key is the account's own. */
  | { readonly kind: 'aws:kms'; readonly keyId: string | null };

/** Whatever is written can be neither changed nor removed for so long, in a bucket that has object lock. */
export interface S3Lock {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE';
  readonly days: number;
}

/** Where they are, as people name it. */
export function formatBlobTarget(target: BlobTarget): string {
  if (target.kind === 'file') return target.directory;
  const { bucket, prefix, endpoint } = target;
  return `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}${endpoint === null ? '' : ` at ${endpoint}`}`;
}

const FORMS = 'file:DIRECTORY, s3://bucket/prefix or s3://bucket@http://host:port';
const S3_FORM = /^s3:\/\/([^/@?]*)(?:\/([^@?]*))?(?:@([^?]*))?(?:\?(.*))?$/;
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PARAMETERS = ['region', 'path_style', 'sse', 'sse_key', 'lock', 'lock_days'] as const;
const LOCK_DAYS_MAX = 36_500;

/** No message repeats the text, which may hold a secret that somebody put there. */
export function parseBlobTarget(text: string): Parsed<BlobTarget> {
  if (/^file:/.test(text)) return parseDirectory(text.slice('file:'.length));
  if (!text.startsWith('s3:')) return wrong(`expected ${FORMS}`);
  if (/^s3:\/\/[^/@]*:[^@]*@/.test(text)) return wrong(NO_CREDENTIALS);
  const [, bucket = '', path = '', endpoint, query = ''] = S3_FORM.exec(text) ?? [];
  if (!BUCKET.test(bucket)) return wrong(`expected ${FORMS}`);
  const prefix = path.replace(/^\/+|\/+$/g, '');
  if (prefix !== '' && !isBlobKey(prefix)) {
    return wrong('the prefix after the bucket is made of a-z, 0-9, _, . and -, with single slashes between');
  }
  const where = endpoint === undefined ? { ok: true as const, value: null } : parseEndpointUrl(endpoint);
  if (!where.ok) return where;
  return parseParameters(new URLSearchParams(query), { bucket, prefix, endpoint: where.value });
}

const NO_CREDENTIALS =
  'takes no credentials: they come from the environment of the AWS SDK, like AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';

function parseDirectory(text: string): Parsed<BlobTarget> {
  // file:///var/x is a URL that everybody writes; in file://data, data would be a host.
  const directory = text.startsWith('///') ? text.slice(2) : text;
  if (directory.trim() === '' || directory.includes('\0') || directory.startsWith('//')) {
    return wrong('expected file:DIRECTORY, like file:data/snapshots or file:/var/lib/holdfast/snapshots');
  }
  return { ok: true, value: { kind: 'file', directory } };
}

function parseEndpointUrl(text: string): Parsed<string> {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    return wrong('the endpoint after @ is not a URL like http://host:port');
  }
  if (url.username !== '' || url.password !== '') return wrong(NO_CREDENTIALS);
  if (url.pathname !== '/' || url.hash !== '') {
    return wrong('the endpoint after @ is http://host:port alone; a prefix stands before the @');
  }
  return { ok: true, value: url.origin };
}

function parseParameters(
  found: URLSearchParams,
  place: Pick<S3Target, 'bucket' | 'prefix' | 'endpoint'>,
): Parsed<BlobTarget> {
  for (const name of new Set(found.keys())) {
    if (!(PARAMETERS as readonly string[]).includes(name)) {
      return wrong(`unknown parameter "${name}"${didYouMean(name, PARAMETERS)}`);
    }
    if (found.getAll(name).length > 1) return wrong(`parameter "${name}" is there twice`);
  }
  const region = found.get('region');
  if (region !== null && !/^[a-z0-9-]{1,64}$/.test(region))
    return wrong('region is a name like eu-central-1');
  const pathStyle = found.get('path_style') ?? String(place.endpoint !== null);
  if (pathStyle !== 'true' && pathStyle !== 'false') return wrong('path_style is true or false');
  const encryption = parseEncryption(found.get('sse'), found.get('sse_key'));
  if (!encryption.ok) return encryption;
  const lock = parseLock(found.get('lock'), found.get('lock_days'));
  if (!lock.ok) return lock;
  const value = { ...place, region, pathStyle: pathStyle === 'true' };
  return { ok: true, value: { kind: 's3', ...value, encryption: encryption.value, lock: lock.value } };
}

function parseEncryption(sse: string | null, keyId: string | null): Parsed<S3Encryption | null> {
  if (keyId !== null && sse !== 'aws:kms') return wrong('sse_key is for sse=aws:kms');
  if (keyId === '') return wrong('sse_key is empty');
  if (sse === null) return { ok: true, value: null };
  if (sse === 'AES256') return { ok: true, value: { kind: sse } };
  if (sse === 'aws:kms') return { ok: true, value: { kind: sse, keyId } };
  return wrong('sse is AES256 or aws:kms');
}

function parseLock(mode: string | null, days: string | null): Parsed<S3Lock | null> {
  if ((mode === null) !== (days === null)) return wrong('lock and lock_days go together');
  if (mode === null) return { ok: true, value: null };
  const known = (['GOVERNANCE', 'COMPLIANCE'] as const).find((one) => one.toLowerCase() === mode);
  if (known === undefined) return wrong('lock is governance or compliance');
  const count = /^\d{1,5}$/.test(days ?? '') ? Number(days) : 0;
  if (count < 1 || count > LOCK_DAYS_MAX) return wrong(`lock_days is a number from 1 to ${LOCK_DAYS_MAX}`);
  return { ok: true, value: { mode: known, days: count } };
}
