import type { FrontendMessage } from '../../src/wire/frontend-message.ts';
import { server } from './scripted-session.ts';

/** A client that breaks the protocol is cut off behind its header. */
export interface BareHeader {
  readonly kind: 'bare-header';
}

/**
 * What PostgreSQL does with a stream of messages, as far as replies and names go, in a few lines that can be held
 * against its documentation. It knows these texts: SELECT and DELETE run; BAD does not parse; FAIL fails when run;
 * DEFER makes the commit fail; COPY reads data, of which `bad` is refused; TRIGGER is a COPY that fails before it
 * reads; and PREPARE, EXECUTE and DEALLOCATE.
 */
export class ModelServer {
  readonly statements = new Map<string, string>();
  /** The texts that have run. */
  readonly ran: string[] = [];
  dead = false;
  private readonly portals = new Map<string, { readonly text: string; done: boolean }>();
  private out: Buffer[] = [];
  private ignoring = false;
  private commitFails = false;
  /** A COPY reads data; `rest` are the statements of its Query that come after it, null in an Execute. */
  private copying: { readonly rest: readonly string[] | null } | null = null;

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
    switch (message.kind) {
      case 'query':
        this.statements.delete('');
        this.portals.delete('');
        return this.query(message.query);
      case 'parse':
        if (message.statement === '') this.statements.delete('');
        if (!parses(message.query)) return this.fail('42601');
        if (this.statements.has(message.statement)) return this.fail('42P05');
        this.statements.set(message.statement, message.query);
        return this.say(server.parsed);
      case 'bind': {
        const text = this.statements.get(message.statement);
        if (text === undefined) return this.fail('26000');
        if (message.portal !== '' && this.portals.has(message.portal)) return this.fail('42P03');
        this.portals.set(message.portal, { text, done: false });
        return this.say(server.bound);
      }
      case 'describe':
        if (message.target === 'portal') {
          return this.portals.has(message.name) ? this.say(server.noData) : this.fail('34000');
        }
        if (!this.statements.has(message.name)) return this.fail('26000');
        return this.say(server.parameters, server.noData);
      case 'execute':
        return this.execute(message.portal);
      case 'close':
        if (message.target === 'statement') this.statements.delete(message.name);
        else this.portals.delete(message.name);
        return this.say(server.closed);
      case 'sync':
        return this.sync();
      case 'function-call':
        this.say(message.functionOid === 1 ? server.error('42883') : server.called);
        return this.ready();
      default:
      // Flush is answered by what is there; data of a COPY that is over is ignored.
    }
  }

  private execute(name: string): void {
    const portal = this.portals.get(name);
    if (portal === undefined) return this.fail('34000');
    if (portal.done) return this.fail('55000');
    portal.done = true;
    const end = this.run(portal.text);
    if (end === 'copying') this.copying = { rest: null };
    else if (end === null) this.say(portal.text === '' ? server.empty : server.done(tagOf(portal.text)));
    else this.fail(end);
  }

  private query(text: string): void {
    const statements = text.split(';').map((part) => part.trim());
    if (!statements.every(parses)) {
      this.say(server.error('42601'));
      return this.ready();
    }
    const parts = statements.filter((part) => part !== '');
    if (parts.length === 0) this.say(server.empty);
    this.runAll(parts);
  }

  private runAll(parts: readonly string[]): void {
    for (const [i, text] of parts.entries()) {
      const end = this.run(text);
      if (end === 'copying') {
        this.copying = { rest: parts.slice(i + 1) };
        return;
      }
      if (end !== null) return this.failQuery(end);
      if (i === parts.length - 1 && this.commitFails) return this.failQuery('23505');
      this.say(server.done(tagOf(text)));
    }
    this.ready();
  }

  /** Runs a text: null when it is done, or how it fails, or that it reads data now. */
  private run(text: string, depth = 0): string | null {
    if (depth > 10) return '54001';
    const [verb, name, , ...rest] = text.split(' ');
    switch (verb) {
      case 'FAIL':
        return '22012';
      case 'DEFER':
        this.commitFails = true;
        return null;
      case 'COPY':
        this.say(server.copyIn);
        return 'copying';
      case 'TRIGGER':
        this.say(server.copyIn);
        return 'P0001';
      case 'PREPARE':
        if (this.statements.has(name!)) return '42P05';
        this.statements.set(name!, rest.join(' '));
        return null;
      case 'EXECUTE': {
        const prepared = this.statements.get(name!);
        return prepared === undefined ? '26000' : this.run(prepared, depth + 1);
      }
      case 'DEALLOCATE':
        return this.deallocate(name!);
      default:
        this.ran.push(text);
        return null;
    }
  }

  /** The unnamed statement is none of those that DEALLOCATE ALL drops. */
  private deallocate(name: string): string | null {
    if (name !== 'ALL') return this.statements.delete(name) ? null : '26000';
    for (const known of this.statements.keys()) if (known !== '') this.statements.delete(known);
    return null;
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
    if (error !== null) return this.failQuery(error);
    if (rest.length === 0 && this.commitFails) return this.failQuery('23505');
    this.say(server.done('COPY 1'));
    this.runAll(rest);
  }

  private fail(sqlstate: string): void {
    this.say(server.error(sqlstate));
    this.ignoring = true;
  }

  private failQuery(sqlstate: string): void {
    this.commitFails = false;
    this.say(server.error(sqlstate));
    this.ready();
  }

  private sync(): void {
    if (this.commitFails && !this.ignoring) this.say(server.error('23505'));
    this.ignoring = false;
    this.ready();
  }

  private ready(): void {
    this.commitFails = false;
    this.portals.clear();
    this.say(server.ready('I'));
  }

  private say(...messages: readonly Buffer[]): void {
    this.out.push(...messages);
  }
}

function parses(text: string): boolean {
  return text !== 'BAD' && !text.startsWith('holdfast');
}

function tagOf(text: string): string {
  return text.split(' ')[0] === 'SELECT' ? 'SELECT 1' : text.split(' ')[0]!;
}
