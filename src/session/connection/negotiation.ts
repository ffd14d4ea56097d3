import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';
import { HoldfastError } from '../../base/errors.ts';
import { decodeStartupPacket, type StartupPacket, startupPacketLength } from '../../wire/startup.ts';
import { Link, LinkFault, openingFault } from './link.ts';

/** Carries the error for the client, or null where there is nobody to tell, and the link that it reads by then. */
export class NegotiationFailed extends Error {
  readonly link: Link;
  readonly error: HoldfastError | null;

  constructor(link: Link, error: HoldfastError | null) {
    super(error?.message ?? 'the client is gone');
    this.name = 'NegotiationFailed';
    this.link = link;
    this.error = error;
  }
}

/** How clients may use TLS. The context is read anew for each connection, so that certificates can be replaced. */
export interface ClientTls {
  readonly mode: 'disable' | 'allow' | 'require';
  readonly secureContext: SecureContext | null;
  readonly requestCert: boolean;
}

export type Opening =
  | {
      readonly kind: 'startup';
      readonly link: Link;
      readonly packet: Extract<StartupPacket, { kind: 'startup' }>;
      /** What the client sent ahead behind its StartupMessage. */
      readonly ahead: Buffer;
    }
  | {
      readonly kind: 'cancel';
      readonly link: Link;
      readonly packet: Extract<StartupPacket, { kind: 'cancel-request' }>;
    };

const TLS_HANDSHAKE = 0x16;
const YES = Buffer.from('S');
const NO = Buffer.from('N');

/**
 * What comes before the session: SSLRequest and GSSENCRequest, at most once each, a TLS handshake, and then a
 * StartupMessage or CancelRequest. Bytes that came in the clear behind an SSLRequest are an attack
 * (CVE-2021-23222), so they end the connection.
 *
 * Rejects with NegotiationFailed.
 */
export function negotiate(link: Link, tls: ClientTls): Promise<Opening> {
  return new Promise((resolve, reject) => new Negotiation(link, tls, resolve, reject).start());
}

class Negotiation {
  private link: Link;
  private readonly tls: ClientTls;
  private readonly resolve: (opening: Opening) => void;
  private readonly fail: (error: NegotiationFailed) => void;
  private received: Buffer = Buffer.alloc(0);
  private sslAsked = false;
  private gssAsked = false;
  private first = true;

  constructor(
    link: Link,
    tls: ClientTls,
    resolve: (opening: Opening) => void,
    reject: (error: NegotiationFailed) => void,
  ) {
    this.link = link;
    this.tls = tls;
    this.resolve = resolve;
    this.fail = reject;
  }

  start(): void {
    this.listen();
    this.link.start();
  }

  private reject(error: HoldfastError | null): void {
    this.fail(new NegotiationFailed(this.link, error));
  }

  private listen(): void {
    this.link.handler = {
      onBytes: (bytes, length) => {
        this.received = Buffer.concat([this.received, bytes.subarray(0, length)]);
        this.step();
      },
      onEnd: () => this.reject(null),
      onClose: (error) => this.reject(error instanceof LinkFault ? openingFault(error) : null),
      onDrain: () => {},
    };
  }

  private step(): void {
    if (this.first && this.received.length > 0) {
      this.first = false;
      if (this.received[0] === TLS_HANDSHAKE) return this.directTls();
    }
    const length = startupPacketLength(this.received);
    if (length === null || (length > 0 && this.received.length < length)) return;
    if (length < 0)
      return this.reject(new HoldfastError('PROTOCOL_VIOLATION', 'invalid length of startup packet'));
    const packet = decodeStartupPacket(this.received.subarray(0, length));
    const ahead = Buffer.from(this.received.subarray(length));
    this.received = Buffer.alloc(0);
    this.take(packet, ahead);
  }

  private take(packet: StartupPacket, ahead: Buffer): void {
    const { link } = this;
    switch (packet.kind) {
      case 'ssl-request':
        return this.sslRequest(ahead);
      case 'gssenc-request':
        if (this.gssAsked || ahead.length > 0)
          return this.reject(violation('unexpected bytes around a GSSENCRequest'));
        this.gssAsked = true;
        link.write(NO);
        return;
      case 'cancel-request':
        link.pause();
        return this.resolve({ kind: 'cancel', link, packet });
      case 'startup':
        if (this.tls.mode === 'require' && !link.encrypted) {
          return this.reject(
            new HoldfastError('TLS_REQUIRED', 'this gateway accepts only encrypted connections', {
              hint: 'Connect with sslmode=require or stricter.',
            }),
          );
        }
        link.pause();
        return this.resolve({ kind: 'startup', link, packet, ahead });
      case 'invalid':
        return this.reject(violation(packet.problem));
      default:
        return packet satisfies never;
    }
  }

  private sslRequest(ahead: Buffer): void {
    if (this.sslAsked || this.link.encrypted) return this.reject(violation('a second SSLRequest'));
    this.sslAsked = true;
    if (ahead.length > 0) return this.reject(violation('received unencrypted data after SSL request'));
    if (this.tls.mode === 'disable' || this.tls.secureContext === null) {
      this.link.write(NO);
      return;
    }
    this.link.write(YES);
    this.secure(false);
  }

  private directTls(): void {
    if (this.tls.mode === 'disable' || this.tls.secureContext === null) return this.reject(null);
    // Paused, so that the bytes put back wait in the socket until TLS takes them from there.
    this.link.socket.pause();
    this.link.socket.unshift(Buffer.from(this.received));
    this.received = Buffer.alloc(0);
    this.sslAsked = true;
    this.secure(true);
  }

  private secure(direct: boolean): void {
    const socket: Socket = this.link.release();
    const secured = new TLSSocket(socket, {
      isServer: true,
      secureContext: this.tls.secureContext!,
      ALPNProtocols: ['postgresql'],
      requestCert: this.tls.requestCert,
      rejectUnauthorized: this.tls.requestCert,
      allowHalfOpen: true,
    } as ConstructorParameters<typeof TLSSocket>[1]);
    this.link = Link.stream(secured);
    this.listen();
    secured.once('secure', () => {
      // Node lets a client through that names no protocol; PostgreSQL does not, where TLS comes without SSLRequest.
      if (direct && secured.alpnProtocol !== 'postgresql') secured.destroy();
      if (this.tls.requestCert && !isVerified(secured)) secured.destroy();
    });
  }
}

/** Node says `authorized` of a server's connections only where it has accepted them itself. */
function isVerified(secured: TLSSocket): boolean {
  const { ssl } = secured as unknown as { readonly ssl: { verifyError(): Error | null } };
  // Without a certificate there is nothing to be wrong with.
  return ssl.verifyError() === null && Object.keys(secured.getPeerCertificate()).length > 0;
}

function violation(problem: string): HoldfastError {
  return new HoldfastError('PROTOCOL_VIOLATION', problem);
}
