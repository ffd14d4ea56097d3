import { isIP } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type PeerCertificate } from 'node:tls';
import { HoldfastError } from '../../base/errors.ts';
import { encodeSslRequest } from '../../wire/startup.ts';
import { identityProblem } from './certificate-names.ts';
import { Link } from './link.ts';

export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** Where the server is and how to reach it, as libpq's parameters of the same names say it. */
export interface UpstreamTarget {
  readonly host: string;
  readonly port: number;
  readonly sslmode: SslMode;
  /** PEM. Null: the system's authorities, for `verify-ca` and `verify-full`. */
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  /** `direct`: the TLS handshake comes first, without an SSLRequest. */
  readonly negotiation: 'postgres' | 'direct';
  readonly connectTimeoutMs: number;
}

/**
 * Connects to the server, with TLS as `sslmode` says, up to where a StartupMessage can be sent. `allow` is taken
 * as `disable` with TLS only where the server insists on it, which the gateway cannot see; it means `prefer` here.
 *
 * Rejects with a HoldfastError (UPSTREAM_UNREACHABLE, UPSTREAM_TLS).
 */
export async function connectUpstream(target: UpstreamTarget): Promise<Link> {
  const link = await openTcp(target);
  if (target.sslmode === 'disable') return link;
  if (target.negotiation === 'direct') return secure(link, target);
  const answer = await askForTls(link, target);
  if (answer === 'N') {
    if (target.sslmode === 'prefer' || target.sslmode === 'allow') return link;
    link.destroy();
    throw tlsError(
      target,
      'the server does not support TLS',
      'Set sslmode=disable if that is what you want.',
    );
  }
  return secure(link, target);
}

function openTcp(target: UpstreamTarget): Promise<Link> {
  return new Promise((resolve, reject) => {
    const link = Link.connect(target);
    const timer = setTimeout(() => link.socket.destroy(new Error('timed out')), target.connectTimeoutMs);
    link.handler = {
      onBytes: () => link.destroy(),
      onEnd: () => link.destroy(),
      onClose: (error) => {
        clearTimeout(timer);
        reject(unreachable(target, error));
      },
      onDrain: () => {},
    };
    link.socket.once('connect', () => {
      clearTimeout(timer);
      resolve(link);
    });
  });
}

function askForTls(link: Link, target: UpstreamTarget): Promise<'S' | 'N'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => link.destroy(), target.connectTimeoutMs);
    const fail = (what: string) => {
      clearTimeout(timer);
      link.destroy();
      reject(tlsError(target, what));
    };
    link.handler = {
      onBytes: (bytes, length) => {
        const byte = String.fromCharCode(bytes[0]!);
        // More than the one byte would have been sent in the clear by somebody in between (CVE-2021-23222).
        if (length !== 1) return fail('the server sent data in the clear ahead of the TLS handshake');
        if (byte !== 'S' && byte !== 'N') return fail('the server answered SSLRequest with something else');
        clearTimeout(timer);
        resolve(byte);
      },
      onEnd: () => fail('the server closed the connection at SSLRequest'),
      onClose: () => fail('the server closed the connection at SSLRequest'),
      onDrain: () => {},
    };
    link.write(encodeSslRequest());
  });
}

function secure(link: Link, target: UpstreamTarget): Promise<Link> {
  return new Promise((resolve, reject) => {
    const verifies = target.sslmode === 'verify-ca' || target.sslmode === 'verify-full';
    // As libpq does it: a root certificate that is given is checked under `require` too.
    const checksChain = verifies || (target.sslmode === 'require' && target.ca !== null);
    const options: ConnectionOptions & { allowHalfOpen: boolean } = {
      socket: link.release(),
      ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
      ALPNProtocols: ['postgresql'],
      rejectUnauthorized: checksChain,
      checkServerIdentity: (_name, cert) =>
        target.sslmode === 'verify-full' ? wrongIdentity(target, cert) : undefined,
      allowHalfOpen: true,
      ...(target.ca === null ? {} : { ca: target.ca }),
      ...(target.cert === null ? {} : { cert: target.cert }),
      ...(target.key === null ? {} : { key: target.key }),
    };
    const socket = connectTls(options);
    const timer = setTimeout(() => socket.destroy(new Error('timed out')), target.connectTimeoutMs);
    const failed = (error: Error | null) => {
      clearTimeout(timer);
      socket.destroy();
      if (error instanceof HoldfastError) reject(error);
      else reject(tlsError(target, error?.message ?? 'the connection was closed', undefined, error));
    };
    socket.once('error', failed);
    socket.once('close', () => failed(null));
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('close');
      resolve(Link.stream(socket));
    });
  });
}

function wrongIdentity(target: UpstreamTarget, certificate: PeerCertificate): HoldfastError | undefined {
  const problem = identityProblem(target.host, certificate);
  return problem === null
    ? undefined
    : tlsError(
        target,
        problem,
        'Set upstream to a host that the certificate is for, or sslmode=verify-ca, which asks only who signed it.',
      );
}

function name(target: UpstreamTarget): string {
  return target.host.includes(':') ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
}

function unreachable(target: UpstreamTarget, cause: Error | null): HoldfastError {
  return new HoldfastError(
    'UPSTREAM_UNREACHABLE',
    `the gateway cannot reach the PostgreSQL server at ${name(target)}: ${cause?.message || 'connection closed'}`,
    { hint: 'Check the upstream setting, and that the server runs and accepts connections.', cause },
  );
}

function tlsError(target: UpstreamTarget, what: string, hint?: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'UPSTREAM_TLS',
    `TLS with the PostgreSQL server at ${name(target)} failed: ${what}`,
    {
      hint: hint ?? 'Check sslmode and sslrootcert of the upstream setting.',
      cause,
    },
  );
}
