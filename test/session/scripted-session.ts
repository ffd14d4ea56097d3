import type { Mode } from '../../src/policy/decision.ts';
import { Session } from '../../src/session/session.ts';
import type { SessionState } from '../../src/session/state.ts';
import { decodeBackendMessage, encodeBackendMessage } from '../../src/wire/backend-message.ts';
import { decodeFrontendMessage } from '../../src/wire/frontend-message.ts';
import type { RawMessage } from '../../src/wire/message-reader.ts';
import * as fe from '../support/frontend-messages.ts';
import { FakeLink } from './fake-link.ts';
import { StubServices } from './stub-services.ts';

/**
 * A session between two fake links. A scenario has the client and the server say things in turn, and reads what
 * the other side got of it in words: `Bind p s`, `error 42501`, `ready I`. What is refused reads as `poison`.
 */
export class ScriptedSession {
  readonly services: StubServices;
  readonly client = new FakeLink('backend');
  readonly upstream = new FakeLink('frontend');
  readonly session: Session;
  ended = false;

  constructor(
    options: {
      readonly statementBytesMax?: number;
      readonly mode?: Mode;
      /** What the server tells of its settings at the start. */
      readonly parameters?: Readonly<Record<string, string>>;
      /** What the client has set at startup; null leaves it to the server. */
      readonly searchPath?: string | null;
    } = {},
  ) {
    this.services = new StubServices(options.statementBytesMax ?? 1 << 20, options.mode ?? 'protect');
    this.session = new Session(
      this.services,
      this.client.asLink(),
      this.upstream.asLink(),
      {
        processId: 1,
        secretKey: Buffer.alloc(4),
        parameters: new Map(
          Object.entries({ client_encoding: 'UTF8', server_encoding: 'UTF8', ...options.parameters }),
        ),
        clientAhead: Buffer.alloc(0),
        upstreamAhead: Buffer.alloc(0),
      },
      {
        user: 'anna',
        database: 'shop',
        application: '',
        replication: false,
        searchPath: options.searchPath === undefined ? 'public' : options.searchPath,
      },
      { ip: '127.0.0.1', port: 50_000 },
      () => {
        this.ended = true;
      },
    );
    this.session.start();
  }

  get state(): SessionState {
    return this.session['state'];
  }

  /** The client sends these in one packet; tells what of it the server gets. */
  sends(...messages: readonly Buffer[]): string[] {
    this.client.receive(Buffer.concat(messages));
    return this.forwarded();
  }

  /** The server sends these in one packet; tells what of it the client gets. */
  answers(...messages: readonly Buffer[]): string[] {
    this.upstream.receive(Buffer.concat(messages));
    return this.client.take().map(describeBackend);
  }

  /** What has gone to the server since this was last asked. */
  forwarded(): string[] {
    return this.upstream.take().map(describeFrontend);
  }

  /** What has gone to the client since this was last asked. */
  told(): string[] {
    return this.client.take().map(describeBackend);
  }

  /** Lets promises go on. */
  async settle(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** The text behind a prepared statement's name as the gateway believes, or null where it knows none. */
  textOf(name: string): string | null {
    const known = this.state.statements.peek(name);
    if (known === null) return null;
    return known.text ?? `prepared ${known.analysis.operation}`;
  }

  /** How many replies the session believes to be owed. */
  get owed(): number {
    return this.state.replies.length;
  }
}

/** A query of the gateway's own has a name that nobody can guess. */
const HIDDEN = /__holdfast_[0-9a-f]{24}_\d+/g;

function describeFrontend(raw: RawMessage): string {
  return describeNamed(raw).replaceAll(HIDDEN, 'hidden');
}

function describeNamed({ type, body }: RawMessage): string {
  const message = decodeFrontendMessage(type, body, 'latin1');
  switch (message.kind) {
    case 'query':
      return message.query.startsWith('holdfast refused') ? 'poison query' : `Query ${message.query}`;
    case 'parse':
      return `Parse ${message.statement} ${message.query}`;
    case 'bind':
      return `Bind ${message.portal} ${message.statement}`;
    case 'execute':
      return message.portal.startsWith('__holdfast_refused') ? 'poison' : `Execute ${message.portal}`;
    case 'describe':
    case 'close':
      return `${message.kind} ${message.target} ${message.name.replace(/^__holdfast_asks_.*/, 'asked')}`;
    case 'invalid':
      return `invalid ${String.fromCharCode(type)}`;
    default:
      return message.kind;
  }
}

function describeBackend({ type, body }: RawMessage): string {
  const message = decodeBackendMessage(type, body);
  switch (message.kind) {
    case 'error-response':
      return `${message.fields['S'] === 'FATAL' ? 'fatal' : 'error'} ${message.fields['C']}`;
    case 'notice-response':
      return `notice ${message.fields['M']}`;
    case 'command-complete':
      return message.tag;
    case 'ready-for-query':
      return `ready ${message.status}`;
    case 'parameter-status':
      return `${message.name}=${message.value}`;
    default:
      return message.kind;
  }
}

/** What servers say. */
export const server = {
  parsed: encodeBackendMessage({ kind: 'parse-complete' }),
  bound: encodeBackendMessage({ kind: 'bind-complete' }),
  closed: encodeBackendMessage({ kind: 'close-complete' }),
  noData: encodeBackendMessage({ kind: 'no-data' }),
  suspended: encodeBackendMessage({ kind: 'portal-suspended' }),
  empty: encodeBackendMessage({ kind: 'empty-query-response' }),
  parameters: encodeBackendMessage({ kind: 'parameter-description', typeOids: [] }),
  row: encodeBackendMessage({ kind: 'data-row', values: [Buffer.from('1')] }),
  rows: encodeBackendMessage({ kind: 'row-description', fields: [] }),
  copyIn: encodeBackendMessage({ kind: 'copy-in-response', format: 0, columnFormats: [0] }),
  called: encodeBackendMessage({ kind: 'function-call-response', value: null }),
  texts: (...values: readonly string[]) =>
    encodeBackendMessage({ kind: 'data-row', values: values.map((value) => Buffer.from(value)) }),
  done: (tag: string) => encodeBackendMessage({ kind: 'command-complete', tag }),
  ready: (status: 'I' | 'T' | 'E' = 'I') => encodeBackendMessage({ kind: 'ready-for-query', status }),
  setting: (name: string, value: string) => encodeBackendMessage({ kind: 'parameter-status', name, value }),
  error: (sqlstate: string, severity = 'ERROR') =>
    encodeBackendMessage({
      kind: 'error-response',
      fields: { S: severity, V: severity, C: sqlstate, M: 'as the server says it' },
    }),
};

/** A session in which the server has this statement under this name. */
export function prepared(name: string, text: string): ScriptedSession {
  const s = new ScriptedSession();
  s.sends(fe.parse(name, text), fe.sync());
  s.answers(server.parsed, server.ready());
  return s;
}

/** What the server heeds of what it was sent: behind a refusal it discards everything up to Sync. */
export function undiscarded(sent: readonly string[]): string[] {
  let discarding = false;
  return sent.filter((message) => {
    if (message === 'sync') discarding = false;
    const heeded = !discarding;
    if (message === 'poison') discarding = true;
    return heeded;
  });
}
