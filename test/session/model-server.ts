import type { FrontendMessage } from '../../src/wire/frontend-message.ts';
import { ModelSession, type ModelSettings, parses, tagOf } from './model-session.ts';
import { server } from './scripted-session.ts';

/** A client that breaks the protocol is cut off behind its header. */
export interface BareHeader {
  readonly kind: 'bare-header';
}

/** What the server is like where the client meets it. */
export interface ModelVersion {
  readonly defaults: ModelSettings;
  /** Whether it tells its search_path, as PostgreSQL does from 18 on. */
  readonly tellsPath: boolean;
}

/** What PostgreSQL does with a stream of messages, in a few lines that can be held against its documentation. */
export class ModelServer {
  readonly session: ModelSession;
  dead = false;
  private readonly version: ModelVersion;
  private told: ModelSettings;
  private out: Buffer[] = [];
  private ignoring = false;
  /** A COPY reads data; `rest` are the statements of its Query that come after it, null in an Execute. */
  private copying: { readonly rest: readonly string[] | null } | null = null;

  constructor(version: ModelVersion) {
    this.version = version;
    this.session = new ModelSession(version.defaults);
    this.told = version.defaults;
  }

  /** Takes one message, or a header whose body does not come, and gives what is answered. */
  receive(message: FrontendMessage | BareHeader): Buffer[] {
    this.out = [];
    if (this.dead) return [];
    if (message.kind === 'bare-header') {
      if (this.copying !== null) this.loseSynchronization();
    } else if (message.kind === 'terminate') this.dead = true;
    else if (this.copying !== null) this.copy(message, this.copying.rest);
    else if (!this.ignoring) this.take(message);
    else if (message.kind === 'sync') this.sync();
    return this.out;
  }

  private take(message: FrontendMessage): void {
    const { session } = this;
    const { statements, portals } = session;
    switch (message.kind) {
      case 'query':
        statements.delete('');
        portals.delete('');
        return this.query(session.read(message.query));
      case 'parse': {
        const meaning = session.read(message.query);
        if (message.statement === '') statements.delete('');
        if (!parses(meaning)) return this.fail('42601');
        if (session.forbids(meaning)) return this.fail('25P02');
        if (statements.has(message.statement)) return this.fail('42P05');
        statements.set(message.statement, { text: message.query, meaning });
        return this.say(server.parsed);
      }
      case 'bind': {
        const statement = statements.get(message.statement);
        if (statement === undefined) return this.fail('26000');
        if (session.forbids(statement.meaning)) return this.fail('25P02');
        if (message.portal !== '' && portals.has(message.portal)) return this.fail('42P03');
        session.bind(message.portal, statement.meaning);
        return this.say(server.bound);
      }
      case 'describe':
        if (message.target === 'portal') {
          return portals.has(message.name) ? this.say(server.noData) : this.fail('34000');
        }
        if (!statements.has(message.name)) return this.fail('26000');
        return this.say(server.parameters, server.noData);
      case 'execute':
        return this.execute(message.portal);
      case 'close':
        if (message.target === 'statement') statements.delete(message.name);
        else portals.delete(message.name);
        return this.say(server.closed);
      case 'sync':
        return this.sync();
      case 'function-call':
        if (message.functionOid !== 1 && session.status !== 'E') this.say(server.called);
        else this.reject('42883');
        return this.ready();
      default:
      // Flush is answered by what is there; data of a COPY that is over is ignored.
    }
  }

  private execute(name: string): void {
    const { session } = this;
    const portal = session.portals.get(name);
    if (portal === undefined) return this.fail('34000');
    const { meaning } = portal;
    if (session.forbids(meaning)) return this.fail('25P02');
    if (portal.done || portal.failed) return this.fail('55000');
    portal.done = true;
    if (meaning.startsWith('SELECT pg_catalog.current_setting')) {
      const { standardStrings, path } = session.settings;
      return this.say(server.texts('UTF8', standardStrings, path), server.done('SELECT 1'));
    }
    // No code of the model gives names away.
    if (meaning.startsWith('SELECT name, statement')) return this.say(server.done('SELECT 0'));
    const tag = tagOf(meaning, session.statements);
    const end = session.run(meaning, (bytes) => this.say(bytes), false);
    if (end === 'copying') this.copying = { rest: null };
    else if (end === null) this.say(meaning === '' ? server.empty : server.done(tag));
    else this.fail(end);
  }

  private query(text: string): void {
    const statements = text.split(';').map((part) => part.trim());
    if (!statements.every(parses)) {
      this.reject('42601');
      return this.ready();
    }
    const parts = statements.filter((part) => part !== '');
    if (parts.length === 0) this.say(server.empty);
    this.runAll(parts, parts.length > 1);
  }

  private runAll(parts: readonly string[], isImplicitBlock: boolean): void {
    const { session } = this;
    for (const [i, text] of parts.entries()) {
      const tag = tagOf(text, session.statements);
      const end = session.run(session.plan(text), (bytes) => this.say(bytes), isImplicitBlock);
      if (end === 'copying') {
        this.copying = { rest: parts.slice(i + 1) };
        return;
      }
      const failed = end ?? (i === parts.length - 1 ? session.commitImplicit() : null);
      if (failed !== null) return this.failQuery(failed);
      this.say(server.done(tag));
    }
    this.ready();
  }

  private copy(message: FrontendMessage, rest: readonly string[] | null): void {
    switch (message.kind) {
      case 'copy-data':
        return message.data.toString() === 'bad' ? this.endCopy('22P04', rest) : undefined;
      case 'copy-done':
        return this.endCopy(null, rest);
      case 'copy-fail':
        return this.endCopy('57014', rest);
      case 'flush':
      case 'sync':
        return;
      default:
        this.loseSynchronization();
    }
  }

  /** In COPY the server refuses any other message by its header, and cannot go on behind it. */
  private loseSynchronization(): void {
    this.say(server.error('08P01'), server.error('08P01', 'FATAL'));
    this.dead = true;
  }

  private endCopy(error: string | null, rest: readonly string[] | null): void {
    this.copying = null;
    if (rest === null) return error === null ? this.say(server.done('COPY 1')) : this.fail(error);
    const failed = error ?? (rest.length === 0 ? this.session.commitImplicit() : null);
    if (failed !== null) return this.failQuery(failed);
    this.say(server.done('COPY 1'));
    this.runAll(rest, true);
  }

  private reject(sqlstate: string): void {
    this.session.abort();
    this.say(server.error(sqlstate));
  }

  private fail(sqlstate: string): void {
    this.reject(sqlstate);
    this.ignoring = true;
  }

  private failQuery(sqlstate: string): void {
    this.reject(sqlstate);
    this.ready();
  }

  private sync(): void {
    this.ignoring = false;
    this.ready();
  }

  /** What is not in a block is committed, and the client is told of the settings that changed. */
  private ready(): void {
    const { session, version } = this;
    const failed = session.commitImplicit();
    if (failed !== null) this.say(server.error(failed));
    const { standardStrings, path } = session.settings;
    if (standardStrings !== this.told.standardStrings) {
      this.say(server.setting('standard_conforming_strings', standardStrings));
    }
    if (version.tellsPath && path !== this.told.path) this.say(server.setting('search_path', path));
    this.told = session.settings;
    this.say(server.ready(session.status));
  }

  private say(...messages: readonly Buffer[]): void {
    this.out.push(...messages);
  }
}
