import { createServer, type Server, type Socket } from 'node:net';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { encodeErrorResponse } from '../wire/backend.ts';
import { relayCancel } from './connection/cancel.ts';
import { Link, openingFault } from './connection/link.ts';
import { relayLogin } from './connection/login.ts';
import { type ClientTls, NegotiationFailed, negotiate, type Opening } from './connection/negotiation.ts';
import { readStartupParameters, type StartupFacts } from './connection/startup-parameters.ts';
import { connectUpstream, type UpstreamTarget } from './connection/upstream.ts';
import { fatalError } from './ruling/refusal.ts';
import type { SessionServices } from './services.ts';
import { Session } from './session.ts';

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly upstream: UpstreamTarget;
  /** Asked anew for each connection. */
  readonly tls: () => ClientTls;
  readonly allowReplication: boolean;
  readonly sessionsMax: number;
  /** From accept until the session is open. */
  readonly startupTimeoutMs: number;
}

/**
 * Accepts clients and takes each from its first byte to an open session: negotiation, connection to the server,
 * login. Every step has a deadline, and a failure of one is told to the client in one error.
 */
export class Listener {
  private readonly services: SessionServices;
  private readonly options: ListenerOptions;
  private readonly server: Server;
  private readonly sessions = new Set<Session>();
  private readonly byCancelKey = new Map<string, Session>();
  /** Connections that are not sessions yet. */
  private readonly opening = new Set<Link>();
  /** Of these, the ones that may become sessions. */
  private loggingIn = 0;
  private draining = false;
  private whenEmpty: (() => void) | null = null;

  constructor(services: SessionServices, options: ListenerOptions) {
    this.services = services;
    this.options = options;
    this.server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
      this.accept(socket),
    );
  }

  /** Resolves with the port once clients can connect. Rejects with the error of `listen`. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ host: this.options.host, port: this.options.port, backlog: 1024 }, () => {
        this.server.off('error', reject);
        this.server.on('error', (error) => this.services.log.error({ err: error }, 'failed to accept'));
        const address = this.server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : this.options.port);
      });
    });
  }

  /**
   * Accepts no more clients, lets the sessions finish what they do and ends them as they become idle; those that
   * are not after `timeoutMs` are cut. Resolves when all are gone.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.draining = true;
    this.server.close();
    for (const link of this.opening) link.destroy();
    const empty = new Promise<void>((resolve) => {
      this.whenEmpty = resolve;
    });
    for (const session of this.sessions) session.drain();
    if (this.sessions.size === 0) return;
    const timer = setTimeout(() => this.cut(), timeoutMs);
    await empty;
    clearTimeout(timer);
  }

  /** Ends all sessions now, whatever they do. Those that are not over soon, for a fault of ours, are left. */
  cut(): void {
    for (const session of this.sessions) session.kill();
    if (this.sessions.size > 0) setTimeout(() => this.whenEmpty?.(), LIMITS.sessionEndMs).unref();
  }

  private accept(socket: Socket): void {
    const address = { ip: normalAddress(socket.remoteAddress), port: socket.remotePort ?? 0 };
    const link = Link.accept(socket);
    if (this.draining) return link.destroy();
    // Who has not got further for longest makes room: that does not cost those who come a slot for a minute.
    if (this.opening.size >= this.options.sessionsMax) {
      this.services.metrics.refused('TOO_MANY_SESSIONS');
      for (const oldest of this.opening) {
        this.opening.delete(oldest);
        oldest.destroy();
        break;
      }
    }
    this.opening.add(link);
    const deadline = setTimeout(() => {
      this.services.metrics.refused('STARTUP_TIMEOUT');
      link.destroy();
    }, this.options.startupTimeoutMs);
    this.open(link, address)
      .catch((error: unknown) =>
        error instanceof NegotiationFailed ? this.refuse(error.link, error.error) : this.refuse(link, error),
      )
      .finally(() => {
        clearTimeout(deadline);
        this.opening.delete(link);
      });
  }

  private async open(link: Link, address: { ip: string; port: number }): Promise<void> {
    const opening = await negotiate(link, this.options.tls());
    if (opening.kind === 'cancel') return this.cancel(opening);
    const client = opening.link;
    try {
      const startup = this.check(opening.packet);
      this.loggingIn++;
      await this.startSession(opening, startup, address).finally(() => this.loggingIn--);
    } catch (error) {
      this.refuse(client, error);
    }
  }

  private async startSession(
    opening: Extract<Opening, { kind: 'startup' }>,
    startup: StartupFacts,
    address: { ip: string; port: number },
  ): Promise<void> {
    const { link: client, packet } = opening;
    let clientGone = false;
    client.handler = {
      onBytes: () => {},
      onEnd: () => {},
      onClose: () => {
        clientGone = true;
      },
      onDrain: () => {},
    };
    const upstream = await connectUpstream(this.options.upstream);
    if (clientGone || client.socket.destroyed) return upstream.destroy();
    const end = await relayLogin(client, upstream, packet, opening.ahead);
    switch (end.kind) {
      case 'open':
        if (this.draining) {
          // After drain() has resolved nothing records what a session does.
          upstream.destroy();
          throw new HoldfastError('SHUTTING_DOWN', 'the gateway is shutting down');
        }
        return this.openSession(client, upstream, end.login, startup, address);
      case 'refused':
        client.end();
        client.after(REFUSAL_GRACE_MS, () => client.destroy());
        upstream.destroy();
        return;
      case 'client-gone':
        client.destroy();
        upstream.destroy();
        return;
      case 'upstream-gone':
        throw new HoldfastError('UPSTREAM_LOST', 'the PostgreSQL server closed the connection during login');
      case 'failed':
        upstream.destroy();
        throw end.error;
      default:
        return end satisfies never;
    }
  }

  private check(packet: Extract<Opening, { kind: 'startup' }>['packet']): StartupFacts {
    if (packet.major !== 3) {
      throw new HoldfastError(
        'STARTUP_REFUSED',
        `unsupported frontend protocol ${packet.major}.${packet.minor}: the gateway supports 3.0 to 3.2`,
      );
    }
    if (this.sessions.size + this.loggingIn >= this.options.sessionsMax) {
      throw new HoldfastError('TOO_MANY_SESSIONS', 'the gateway has too many sessions open');
    }
    const startup = readStartupParameters(packet.parameters, this.services.policy.current.mode === 'monitor');
    if (startup.replication && !this.options.allowReplication) {
      throw new HoldfastError('REPLICATION_REFUSED', 'replication connections are refused by the gateway', {
        hint: 'Connect to the server directly, or set startup.replication: allow in the configuration of the gateway; no policy reads such a connection.',
      });
    }
    return startup;
  }

  private openSession(
    client: Link,
    upstream: Link,
    login: ConstructorParameters<typeof Session>[3],
    startup: StartupFacts,
    address: { ip: string; port: number },
  ): void {
    const session = new Session(this.services, client, upstream, login, startup, address, (ended) =>
      this.ended(ended),
    );
    this.sessions.add(session);
    const key = cancelKey(login.processId, login.secretKey);
    if (key !== null) this.byCancelKey.set(key, session);
    session.start();
  }

  private ended(session: Session): void {
    this.sessions.delete(session);
    const key = cancelKey(session.login.processId, session.login.secretKey);
    if (key !== null && this.byCancelKey.get(key) === session) this.byCancelKey.delete(key);
    if (this.sessions.size === 0) this.whenEmpty?.();
  }

  private async cancel(opening: Extract<Opening, { kind: 'cancel' }>): Promise<void> {
    const { link, packet } = opening;
    this.services.metrics.cancelRequests++;
    const session = this.byCancelKey.get(cancelKey(packet.processId, packet.secretKey)!);
    if (session?.cancel()) {
      link.end();
      // Nothing reads it any more, so that its own end is not seen.
      link.after(REFUSAL_GRACE_MS, () => link.destroy());
      return;
    }
    await relayCancel(link, this.options.upstream, packet);
  }

  /** Tells the client why it is not let in. */
  private refuse(link: Link, error: unknown): void {
    const known = error === null || error instanceof HoldfastError ? error : openingFault(error);
    if (known?.code === 'INTERNAL') this.services.log.error({ err: known }, known.message);
    if (link.socket.destroyed) return;
    if (known === null) return link.destroy();
    this.services.metrics.refused(known.code);
    if (known.code !== 'INTERNAL') this.services.log.info({ code: known.code }, known.message);
    link.handler = { onBytes() {}, onEnd() {}, onClose() {}, onDrain() {} };
    // Which encoding the client reads is settled by the server, when it lets it in.
    link.end(encodeErrorResponse(fatalError(known.code, known.message, known.detail, known.hint), null));
    link.after(REFUSAL_GRACE_MS, () => link.destroy());
  }
}

const REFUSAL_GRACE_MS = 1_000;

function cancelKey(processId: number | null, secretKey: Buffer | null): string | null {
  return processId === null || secretKey === null ? null : `${processId}:${secretKey.toString('hex')}`;
}

/** An IPv4 address that came in over an IPv6 socket is an IPv4 address. */
function normalAddress(address: string | undefined): string {
  if (address === undefined) return 'local';
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}
