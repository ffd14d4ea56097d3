import { isIPv6 } from 'node:net';
import { type Parsed, wrong } from '../policy/judged.ts';
import { didYouMean } from '../policy/suggest.ts';

const SSL_MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
export type SslMode = (typeof SSL_MODES)[number];

/** The server behind the gateway as its URL tells it, before any file is read. */
export interface UpstreamUrl {
  readonly host: string;
  readonly port: number;
  readonly sslMode: SslMode;
  /** `direct` starts TLS at once, without asking in the clear first; servers from 17 on can do that. */
  readonly sslNegotiation: 'postgres' | 'direct';
  readonly sslRootCert: string | null;
  readonly sslCert: string | null;
  readonly sslKey: string | null;
}

const PARAMETERS = ['sslmode', 'sslnegotiation', 'sslrootcert', 'sslcert', 'sslkey'] as const;
const DEFAULT_PORT = 5432;
const FORM = 'postgres://host:port?sslmode=…';

/** No message repeats the text, which may hold a password that somebody put there. */
export function parseUpstream(text: string): Parsed<UpstreamUrl> {
  if (!/^postgres(?:ql)?:\/\//.test(text)) return wrong(`expected a URL like ${FORM}`);
  const url = URL.parse(text);
  if (url === null) return wrong(`not a URL; expected ${FORM} with one host`);
  if (url.username !== '' || url.password !== '') {
    return wrong(
      'the upstream takes no user or password: clients log in with their own, which pass through to the server',
    );
  }
  if (url.pathname !== '' && url.pathname !== '/') {
    return wrong(
      'the upstream takes no database: clients name their own, which passes through to the server',
    );
  }
  if (url.hash !== '') return wrong('the upstream takes no fragment (#…)');
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (!/^[A-Za-z0-9._-]+$/.test(host) && !isIPv6(host)) {
    return wrong('the upstream needs one host, reached over TCP');
  }
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  if (port === 0) return wrong('port 0 cannot be connected to');
  return readParameters(url.searchParams, host, port);
}

function readParameters(found: URLSearchParams, host: string, port: number): Parsed<UpstreamUrl> {
  const seen = new Set<string>();
  for (const name of found.keys()) {
    if (!(PARAMETERS as readonly string[]).includes(name)) {
      return wrong(`unknown parameter "${name}"${didYouMean(name, PARAMETERS)}`);
    }
    if (seen.has(name)) return wrong(`parameter "${name}" is there twice`);
    seen.add(name);
  }
  const mode = found.get('sslmode') ?? 'prefer';
  if (!isSslMode(mode)) return wrong(`sslmode is one of ${SSL_MODES.join(' | ')}`);
  const sslNegotiation = found.get('sslnegotiation') ?? 'postgres';
  if (sslNegotiation !== 'postgres' && sslNegotiation !== 'direct') {
    return wrong('sslnegotiation is postgres or direct');
  }
  const sslRootCert = found.get('sslrootcert');
  const sslCert = found.get('sslcert');
  const sslKey = found.get('sslkey');
  if (mode === 'disable' && (sslRootCert ?? sslCert ?? sslKey) !== null) {
    return wrong('sslmode=disable has no use for certificates; choose another sslmode or leave them out');
  }
  if ((sslCert === null) !== (sslKey === null)) return wrong('sslcert and sslkey go together');
  // As in libpq: who names a root certificate wants it checked.
  const sslMode = mode === 'require' && sslRootCert !== null ? 'verify-ca' : mode;
  if (sslNegotiation === 'direct' && (mode === 'disable' || mode === 'allow' || mode === 'prefer')) {
    return wrong('sslnegotiation=direct needs sslmode=require or stronger');
  }
  return { ok: true, value: { host, port, sslMode, sslNegotiation, sslRootCert, sslCert, sslKey } };
}

function isSslMode(text: string): text is SslMode {
  return (SSL_MODES as readonly string[]).includes(text);
}
