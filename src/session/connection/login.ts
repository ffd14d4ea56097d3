import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { ownCopy } from '../../base/own-copy.ts';
import {
  AuthenticationCode,
  authenticationCode,
  decodeChannelBindingFlag,
  decodeSaslMechanisms,
  encodeSaslMechanisms,
} from '../../wire/authentication.ts';
import {
  decodeBackendKeyData,
  decodeErrorFields,
  decodeNegotiateProtocolVersion,
  decodeParameterStatus,
  encodeNegotiateProtocolVersion,
} from '../../wire/backend.ts';
import { isBackendHeaderValid, lengthAt } from '../../wire/frame.ts';
import { Backend, Frontend, HEADER_BYTES } from '../../wire/message-type.ts';
import { encodeStartupMessage } from '../../wire/startup.ts';
import { type Link, LinkFault, openingFault } from './link.ts';

/** What the client and the server have agreed on when the session opens. */
export interface LoggedIn {
  readonly processId: number | null;
  readonly secretKey: Buffer | null;
  readonly parameters: ReadonlyMap<string, string>;
  /** What each side has already sent behind the login. */
  readonly clientAhead: Buffer;
  readonly upstreamAhead: Buffer;
}

export type LoginEnd =
  | { readonly kind: 'open'; readonly login: LoggedIn }
  /** The server refused, and the client has been told by the server itself. */
  | { readonly kind: 'refused'; readonly sqlstate: string | null }
  | { readonly kind: 'client-gone' }
  | { readonly kind: 'upstream-gone' }
  /** The gateway ends it; the client is to be told. */
  | { readonly kind: 'failed'; readonly error: HoldfastError };

/** The newest protocol that the gateway understands. */
const MINOR_MAX = 2;
const NONE = Buffer.alloc(0);
/** PG_MAX_AUTH_TOKEN_LENGTH of PostgreSQL. */
const TOKEN_BYTES = 65_535;

/**
 * Relays the login: the client's StartupMessage to the server, and the authentication that the server asks for,
 * byte for byte, so that the gateway needs to know no password. Two things are changed on the way. A newer protocol
 * and `_pq_` options that the gateway does not understand are negotiated away. And SCRAM with channel binding is
 * not offered where the two legs are not the same TLS connection, because the binding could not hold.
 *
 * The client may send only what the server has asked for; anything else goes to the server as a bare header,
 * which it refuses in its own words.
 */
export function relayLogin(
  client: Link,
  upstream: Link,
  startup: {
    readonly major: number;
    readonly minor: number;
    readonly parameters: readonly (readonly [string, string])[];
  },
  clientAhead: Buffer,
): Promise<LoginEnd> {
  return new Promise((resolve) => new Login(client, upstream, clientAhead, resolve).start(startup));
}

class Login {
  private readonly client: Link;
  private readonly upstream: Link;
  private readonly resolve: (end: LoginEnd) => void;
  private fromClient: Buffer;
  private fromUpstream: Buffer = NONE;
  /** What of it the client is to have, in one write: a login is answered by some fifteen messages at once. */
  private toClient: Buffer[] = [];
  /** The server has asked, and the client's next message is the answer. */
  private answerDue: 'password' | 'sasl-initial' | null = null;
  private bindingStripped = false;
  private authenticated = false;
  private negotiated: { minor: number; unknown: readonly string[] } | null = null;
  private processId: number | null = null;
  private secretKey: Buffer | null = null;
  private readonly parameters = new Map<string, string>();
  private refusedWith: { sqlstate: string | null } | null = null;
  private over = false;

  constructor(client: Link, upstream: Link, clientAhead: Buffer, resolve: (end: LoginEnd) => void) {
    this.client = client;
    this.upstream = upstream;
    this.fromClient = clientAhead;
    this.resolve = resolve;
  }

  start(startup: Parameters<typeof relayLogin>[2]): void {
    const unknown = startup.parameters.map(([name]) => name).filter((name) => name.startsWith('_pq_.'));
    const minor = Math.min(startup.minor, MINOR_MAX);
    if (startup.minor > MINOR_MAX || unknown.length > 0) this.negotiated = { minor, unknown };
    const parameters = startup.parameters.filter(([name]) => !name.startsWith('_pq_.'));
    this.upstream.handler = {
      onBytes: (bytes, length) => this.upstreamSent(bytes, length),
      onEnd: () => this.upstreamGone(),
      onClose: (error) => this.closed(error, () => this.upstreamGone()),
      onDrain: () => this.client.resume(),
    };
    this.client.handler = {
      onBytes: (bytes, length) => this.clientSent(bytes, length),
      // It may have sent all that it has to say already, and wait for the answers.
      onEnd: () => this.answer(),
      onClose: (error) => this.closed(error, () => this.finish({ kind: 'client-gone' })),
      onDrain: () => this.upstream.resume(),
    };
    this.upstream.write(encodeStartupMessage(startup.major, minor, parameters));
    this.client.resume();
  }

  private clientSent(bytes: Buffer, length: number): void {
    this.fromClient = Buffer.concat([this.fromClient, bytes.subarray(0, length)]);
    if (this.fromClient.length > TOKEN_BYTES * 2) this.client.pause();
    this.answer();
  }

  /** Passes on the client's answer, if one is due and has come whole. */
  private answer(): void {
    const due = this.answerDue;
    if (due === null || this.over) return;
    if (this.fromClient.length < HEADER_BYTES) return this.awaitRest();
    const length = lengthAt(this.fromClient, 0);
    if (this.fromClient[0] !== Frontend.Password || length < 4 || length > TOKEN_BYTES) {
      this.answerDue = null;
      this.upstream.write(Buffer.from(this.fromClient.subarray(0, HEADER_BYTES)));
      this.upstream.after(LIMITS.protocolErrorGraceMs, (upstream) => upstream.end());
      return;
    }
    if (this.fromClient.length < length + 1) return this.awaitRest();
    const message = Buffer.from(this.fromClient.subarray(0, length + 1));
    this.fromClient = Buffer.from(this.fromClient.subarray(length + 1));
    this.answerDue = null;
    if (due === 'sasl-initial' && this.bindingStripped) {
      if (decodeChannelBindingFlag(message.subarray(HEADER_BYTES)) === 'y') return this.refuseBinding();
    }
    this.upstream.write(message);
    this.client.resume();
  }

  private awaitRest(): void {
    if (this.client.hasEnded) this.finish({ kind: 'client-gone' });
  }

  /**
   * The client can bind its login to TLS and was not offered to, so it says `y`; a server on TLS takes that for
   * somebody in between, which is what the gateway is. The flag is part of what client and server sign, so that
   * nobody could change it on the way.
   */
  private refuseBinding(): void {
    const { encrypted } = this.client;
    this.finish({
      kind: 'failed',
      error: new HoldfastError(
        'CHANNEL_BINDING',
        encrypted
          ? 'SCRAM with channel binding cannot pass through the gateway while both of its sides use TLS'
          : 'SCRAM with channel binding cannot pass through the gateway while its side towards the server uses TLS',
        {
          detail: encrypted
            ? 'The client wants to bind its login to a TLS connection that ends at the gateway.'
            : 'The client, which has no TLS, says that it could bind its login to it, and the server takes that for an attack.',
          hint: encrypted
            ? 'Set channel_binding=disable in the client (PGCHANNELBINDING=disable; channelBinding=disable with JDBC), or use TLS on one side only.'
            : 'Turn channel binding off in the client, or set sslmode=disable in the upstream setting of the gateway if its network is trusted.',
        },
      ),
    });
  }

  private upstreamSent(bytes: Buffer, length: number): void {
    const all = Buffer.concat([this.fromUpstream, bytes.subarray(0, length)]);
    let at = 0;
    while (!this.over && all.length - at >= HEADER_BYTES) {
      const type = all[at]!;
      const size = lengthAt(all, at);
      if (!isBackendHeaderValid(type, size) || size > LIMITS.controlReplyBytes) {
        this.notPostgres();
        break;
      }
      if (all.length - at < size + 1) break;
      const message = all.subarray(at, at + size + 1);
      at += size + 1;
      this.fromUpstream = all.subarray(at);
      this.message(type, message, message.subarray(HEADER_BYTES));
    }
    this.fromUpstream = all.subarray(at);
    this.tellClient();
  }

  private tellClient(): void {
    if (this.toClient.length === 0) return;
    this.client.write(this.toClient.length === 1 ? this.toClient[0]! : Buffer.concat(this.toClient));
    this.toClient = [];
  }

  private notPostgres(): void {
    this.upstream.destroy();
    this.finish({
      kind: 'failed',
      error: new HoldfastError(
        'UPSTREAM_LOST',
        'the upstream server does not speak the PostgreSQL protocol',
        {
          hint: 'Check the host and port of the upstream setting.',
        },
      ),
    });
  }

  private message(type: number, message: Buffer, body: Buffer): void {
    switch (type) {
      case Backend.Authentication:
        return this.authentication(message, body);
      case Backend.NegotiateProtocolVersion:
        return this.negotiateVersion(message, body);
      case Backend.BackendKeyData: {
        const key = decodeBackendKeyData(body);
        this.processId = key?.processId ?? null;
        this.secretKey = key === null ? null : ownCopy(key.secretKey);
        break;
      }
      case Backend.ParameterStatus: {
        const parameter = decodeParameterStatus(body);
        if (parameter !== null && this.parameters.size < LIMITS.parametersMax)
          this.parameters.set(parameter.name, parameter.value);
        break;
      }
      case Backend.ErrorResponse:
        this.refusedWith = { sqlstate: decodeErrorFields(body)?.['C'] ?? null };
        break;
      case Backend.ReadyForQuery:
        // Only a server that has let the client in may be ready; whatever else says so is not one.
        if (!this.authenticated) return this.notPostgres();
        this.toClient.push(message);
        return this.open();
      default:
    }
    this.toClient.push(message);
  }

  private authentication(message: Buffer, body: Buffer): void {
    this.tellNegotiated();
    switch (authenticationCode(body)) {
      case AuthenticationCode.Ok:
        this.authenticated = true;
        this.toClient.push(message);
        return;
      case AuthenticationCode.SaslFinal:
        this.toClient.push(message);
        return;
      case AuthenticationCode.Sasl: {
        const mechanisms = decodeSaslMechanisms(body);
        if (mechanisms === null) return this.notPostgres();
        const relayed = mechanisms.filter((mechanism) => !mechanism.endsWith('-PLUS'));
        this.bindingStripped = relayed.length < mechanisms.length;
        this.toClient.push(this.bindingStripped ? encodeSaslMechanisms(relayed) : message);
        this.answerDue = 'sasl-initial';
        break;
      }
      case AuthenticationCode.CleartextPassword:
      case AuthenticationCode.Md5Password:
      case AuthenticationCode.Gss:
      case AuthenticationCode.GssContinue:
      case AuthenticationCode.Sspi:
      case AuthenticationCode.SaslContinue:
        this.toClient.push(message);
        this.answerDue = 'password';
        break;
      default:
        return this.notPostgres();
    }
    this.answer();
  }

  /** The gateway's own answer to a version or option it does not know, joined with the server's if that has one. */
  private negotiateVersion(message: Buffer, body: Buffer): void {
    const server = decodeNegotiateProtocolVersion(body);
    if (this.negotiated === null || server === null) {
      this.toClient.push(message);
      return;
    }
    const unknown = [...new Set([...this.negotiated.unknown, ...server.unknownOptions])];
    this.toClient.push(
      encodeNegotiateProtocolVersion(server.major, Math.min(server.minor, this.negotiated.minor), unknown),
    );
    this.negotiated = null;
  }

  private tellNegotiated(): void {
    if (this.negotiated === null) return;
    this.toClient.push(encodeNegotiateProtocolVersion(3, this.negotiated.minor, this.negotiated.unknown));
    this.negotiated = null;
  }

  private closed(error: Error | null, gone: () => void): void {
    if (!(error instanceof LinkFault)) return gone();
    this.finish({ kind: 'failed', error: openingFault(error) });
  }

  private upstreamGone(): void {
    if (this.refusedWith !== null) this.finish({ kind: 'refused', sqlstate: this.refusedWith.sqlstate });
    else this.finish({ kind: 'upstream-gone' });
  }

  private open(): void {
    this.finish({
      kind: 'open',
      login: {
        processId: this.processId,
        secretKey: this.secretKey,
        parameters: this.parameters,
        clientAhead: this.fromClient,
        upstreamAhead: Buffer.from(this.fromUpstream),
      },
    });
  }

  private finish(end: LoginEnd): void {
    if (this.over) return;
    this.over = true;
    this.resolve(end);
  }
}
