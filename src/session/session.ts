import type { AuditSession } from '../audit/event.ts';
import { newId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { encodeErrorResponse } from '../wire/backend.ts';
import { BackendMessages } from './backend-messages.ts';
import { BackendStream } from './backend-stream.ts';
import { type Link, LinkFault } from './connection/link.ts';
import type { LoggedIn } from './connection/login.ts';
import type { StartupFacts } from './connection/startup-parameters.ts';
import { FrontendMessages } from './frontend-messages.ts';
import { FrontendStream } from './frontend-stream.ts';
import { ReplyKind } from './replies.ts';
import { fatalError } from './ruling/refusal.ts';
import type { SessionServices } from './services.ts';
import { SessionState } from './state.ts';

/**
 * One client's connection after its login: two links and the streams between them. It ends when both are closed;
 * nothing of it is shared with another session, so that nothing that goes wrong here reaches one.
 */
export class Session {
  readonly id: string;
  readonly login: LoggedIn;
  private readonly state: SessionState;
  private readonly frontend: FrontendStream;
  private readonly frontendMessages: FrontendMessages;
  private readonly backend: BackendStream;
  private readonly backendMessages: BackendMessages;
  private clientOpen = true;
  private upstreamOpen = true;
  private draining = false;
  private isFaulty = false;
  private over = false;
  private countedIn = 0;
  private countedOut = 0;
  private readonly onEnd: (session: Session) => void;

  constructor(
    services: SessionServices,
    client: Link,
    upstream: Link,
    login: LoggedIn,
    startup: StartupFacts,
    address: { readonly ip: string; readonly port: number },
    onEnd: (session: Session) => void,
  ) {
    this.id = newId('s');
    this.login = login;
    this.onEnd = onEnd;
    const identity: AuditSession = {
      id: this.id,
      role: startup.user,
      database: startup.database,
      application: login.parameters.get('application_name') ?? startup.application,
      client: address.ip.includes(':') ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`,
    };
    const facts = {
      role: identity.role,
      database: identity.database,
      application: identity.application,
      client: address.ip,
    };
    this.state = new SessionState(services, client, upstream, identity, facts, login.parameters, startup);
    this.state.processId = login.processId;
    this.frontendMessages = new FrontendMessages(this.state);
    this.frontend = new FrontendStream(this.state, this.frontendMessages);
    this.backendMessages = new BackendMessages(this.state);
    this.backend = new BackendStream(this.state, this.backendMessages);
    this.state.relax = () => this.frontend.relax();
    this.frontend.onSettled = () => {
      if (!this.upstreamOpen) this.leftByServer();
      else if (this.draining && this.idle) queueMicrotask(() => this.shutDown());
    };
    this.backendMessages.onDiscarding = () => this.frontendMessages.giveUp('canceled');
    this.backendMessages.onReady = () => this.ready();
    this.state.fail = (error) => this.fail(error);
  }

  /** Starts relaying, first of all what either side has sent ahead. */
  start(): void {
    const { client, upstream } = this.state;
    this.state.services.metrics.sessionsTotal++;
    this.state.services.metrics.sessionsOpen++;
    client.handler = {
      onBytes: (bytes, length) => this.frontend.receive(bytes, length),
      onEnd: () => this.frontend.end(),
      onClose: (error) => this.clientClosed(error),
      onDrain: () => this.backend.relax(),
    };
    upstream.handler = {
      onBytes: (bytes, length) => this.backend.receive(bytes, length),
      onEnd: () => this.upstreamEnded(),
      onClose: (error) => this.upstreamClosed(error),
      onDrain: () => this.frontend.relax(),
    };
    const { clientAhead, upstreamAhead } = this.login;
    if (upstreamAhead.length > 0) this.backend.receive(upstreamAhead, upstreamAhead.length);
    if (clientAhead.length > 0) this.frontend.receive(clientAhead, clientAhead.length);
    if (client.socket.destroyed) this.clientClosed(null);
    if (upstream.socket.destroyed) this.upstreamClosed(null);
    upstream.resume();
    this.frontend.relax();
    // Either may have said so while the login ended.
    if (client.hasEnded) this.frontend.end();
    if (upstream.hasEnded) this.upstreamEnded();
  }

  /** The client asks to cancel. Returns whether it was a wait of ours that ended; otherwise the server has to be asked. */
  cancel(): boolean {
    if (this.state.cancelsStoring !== null) {
      this.state.cancelsStoring();
      return true;
    }
    return this.frontendMessages.giveUp('canceled');
  }

  /** Ends the session as soon as it is idle, with the words of a server that is being shut down. */
  drain(): void {
    this.draining = true;
    if (this.idle) this.shutDown();
  }

  /** Ends the session now. */
  kill(): void {
    this.state.client.destroy();
    this.state.upstream.destroy();
  }

  /** Nothing is under way, not even a transaction without a BEGIN, which lasts from the first message to its Sync. */
  private get idle(): boolean {
    const { replies, transactionStatus } = this.state;
    if (!this.backendMessages.owesNothing || replies.segmentOpen) return false;
    return transactionStatus === 'I' && !this.frontend.isWaiting;
  }

  private ready(): void {
    this.countBytes();
    if (this.draining && this.idle) queueMicrotask(() => this.shutDown());
  }

  /** Adds to the metrics what came and went since the last time, since a pooled session may stay open for months. */
  private countBytes(): void {
    const { client, services } = this.state;
    services.metrics.bytesFromClients += client.bytesIn - this.countedIn;
    services.metrics.bytesToClients += client.bytesOut - this.countedOut;
    this.countedIn = client.bytesIn;
    this.countedOut = client.bytesOut;
  }

  private shutDown(): void {
    if (!this.clientOpen || !this.idle) return;
    this.say(fatalError('SHUTTING_DOWN', 'terminating connection because the gateway is shutting down'));
    this.state.upstream.end(TERMINATE);
  }

  /** Tells the client why it ends, once, and only between two messages. */
  private say(fields: ReturnType<typeof fatalError>): void {
    const { client } = this.state;
    if (this.backend.atBoundary && !this.state.fatal)
      client.end(encodeErrorResponse(fields, this.state.clientEncoding));
    else client.end();
    this.state.fatal = true;
  }

  private upstreamEnded(): void {
    this.state.upstream.end();
  }

  private upstreamClosed(error: Error | null): void {
    if (!this.upstreamOpen) return;
    this.upstreamOpen = false;
    this.state.called.ended();
    if (error instanceof LinkFault) this.fail(error);
    this.frontend.cutOff();
    this.frontendMessages.giveUp('disconnected');
    const owed = this.state.replies.length > 0 && this.state.replies.head?.kind !== ReplyKind.CopyEnd;
    try {
      this.backendMessages.abandon();
    } catch (fault) {
      this.fail(fault);
    }
    if (this.clientOpen) {
      if (this.frontend.isClosed) this.state.client.end();
      else {
        this.say(
          fatalError(
            'UPSTREAM_LOST',
            'the PostgreSQL server closed the connection',
            owed ? 'It is not known whether the statement under way took effect.' : undefined,
          ),
        );
      }
      // A client that does not close its side within the grace is left.
      this.state.client.after(CLIENT_CLOSE_GRACE_MS, (client) => client.destroy());
    }
    this.finish();
  }

  private clientClosed(error: Error | null): void {
    if (!this.clientOpen) return;
    this.clientOpen = false;
    if (error instanceof LinkFault) this.fail(error);
    this.frontend.end();
    // The server learns of it when it next reads or writes; what it still sends has nowhere to go.
    this.backend.relax();
    if (this.upstreamOpen) this.state.upstream.after(LIMITS.clientGoneMs, (upstream) => upstream.destroy());
    this.finish();
  }

  /** What has been waited for is settled, and the server is gone. */
  private leftByServer(): void {
    this.backendMessages.abandon();
    this.finish();
  }

  /** A fault of our own: nobody knows what the session stands at, so that it ends; it is no other's business. */
  private fail(error: unknown): void {
    this.state.services.log.error({ err: error, session: this.id }, 'a session ends because of a fault');
    this.isFaulty = true;
    this.kill();
  }

  private finish(): void {
    if (this.clientOpen || this.upstreamOpen || this.over) return;
    // What is still waited for is recorded when it is settled, which has to be before a stop closes the audit.
    if (this.frontend.isWaiting && !this.isFaulty) return;
    this.over = true;
    this.state.services.metrics.sessionsOpen--;
    this.countBytes();
    this.onEnd(this);
  }
}

const TERMINATE = Buffer.from([0x58, 0, 0, 0, 4]);
const CLIENT_CLOSE_GRACE_MS = 5_000;
