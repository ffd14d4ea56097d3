import { server } from './scripted-session.ts';

/** What stands behind a name: its text as sent, and as the server read it when it came. */
export interface ModelStatement {
  readonly text: string;
  readonly meaning: string;
}

export interface ModelPortal {
  readonly meaning: string;
  /** How many savepoints stood when it was made. */
  readonly depth: number;
  done: boolean;
  failed: boolean;
}

export interface ModelSettings {
  readonly standardStrings: 'on' | 'off';
  readonly path: string;
}

/** What holds beyond the transaction, and what SET LOCAL hides it by. */
interface OwnSettings {
  readonly base: ModelSettings;
  readonly local: { readonly [K in keyof ModelSettings]?: ModelSettings[K] | undefined };
}

interface Savepoint {
  readonly name: string;
  readonly own: OwnSettings;
}

export const EVIL_PATH = 'evil, pg_catalog';

/** How a statement ends: null when it is done, an SQLSTATE, or that it reads data now. */
export type End = null | 'copying' | (string & {});

/**
 * The session in the model of the server: transactions, settings, statements and portals, and what each text does.
 *
 * SELECT and DELETE run. `QUOTE` is a SELECT if it is read with standard_conforming_strings on, else a DELETE. `f`
 * is a function that deletes where search_path finds another than pg_catalog's; EXPLAIN looks it up when it is
 * executed, SELECT when it is planned. BAD does not parse; FAIL fails when run; DEFER makes the commit fail; COPY
 * reads data; TRIGGER is a COPY that fails before it reads.
 */
export class ModelSession {
  readonly statements = new Map<string, ModelStatement>();
  readonly portals = new Map<string, ModelPortal>();
  /** The texts that have run. */
  readonly ran: string[] = [];
  private own: OwnSettings;
  private readonly defaults: ModelSettings;
  /** The transaction block: none, open, or failed. */
  private block: 'I' | 'T' | 'E' = 'I';
  private savepoints: Savepoint[] = [];
  /** Where settings go back to if the transaction, implicit or not, fails. */
  private before: ModelSettings;
  private commitFails = false;

  constructor(defaults: ModelSettings) {
    this.defaults = defaults;
    this.own = { base: defaults, local: {} };
    this.before = defaults;
  }

  get settings(): ModelSettings {
    const { base, local } = this.own;
    return {
      standardStrings: local.standardStrings ?? base.standardStrings,
      path: local.path ?? base.path,
    };
  }

  get status(): 'I' | 'T' | 'E' {
    return this.block;
  }

  /** Whether the transaction has failed, so that only its end may come. */
  forbids(meaning: string): boolean {
    return this.block === 'E' && !/^(COMMIT|ROLLBACK)/.test(meaning);
  }

  /** The text as the server reads it now. */
  read(text: string): string {
    return text.replaceAll(
      /\bQUOTE (\d)/g,
      this.settings.standardStrings === 'on' ? 'SELECT q$1' : 'DELETE q$1',
    );
  }

  /** A planned statement calls the functions that were found when it was planned. */
  plan(meaning: string): string {
    return meaning === 'SELECT f' && this.settings.path === EVIL_PATH ? 'DELETE by f' : meaning;
  }

  bind(name: string, meaning: string): void {
    this.portals.set(name, {
      meaning: this.plan(meaning),
      depth: this.savepoints.length,
      done: false,
      failed: false,
    });
  }

  /** An error: the transaction fails as a whole, or up to its last savepoint. */
  abort(): void {
    this.commitFails = false;
    const depth = this.savepoints.length;
    for (const portal of this.portals.values()) if (portal.depth >= depth) portal.failed = true;
    this.own = this.savepoints.at(-1)?.own ?? { base: this.before, local: {} };
    if (this.block === 'I') this.end();
    else this.block = 'E';
  }

  /** Commits what is not in a block. Returns how that failed, or null. */
  commitImplicit(): string | null {
    if (this.block !== 'I') return null;
    const failed = this.commitFails;
    if (failed) this.own = { base: this.before, local: {} };
    this.end();
    return failed ? '23505' : null;
  }

  private end(): void {
    this.block = 'I';
    this.savepoints = [];
    this.commitFails = false;
    this.own = { base: this.own.base, local: {} };
    this.before = this.own.base;
    this.portals.clear();
  }

  /** Runs a text that has been read, and says what is to be said before its CommandComplete. */
  run(meaning: string, say: (message: Buffer) => void, isImplicitBlock: boolean, depth = 0): End {
    if (depth > 5) return '54001';
    if (this.forbids(meaning)) return '25P02';
    const [verb, name, , ...rest] = meaning.split(' ');
    switch (verb) {
      case 'FAIL':
        return '22012';
      case 'DEFER':
        this.commitFails = true;
        return null;
      case 'COPY':
        say(server.copyIn);
        return 'copying';
      case 'TRIGGER':
        say(server.copyIn);
        return 'P0001';
      case 'PREPARE': {
        if (this.statements.has(name!)) return '42P05';
        const inner = rest.join(' ');
        this.statements.set(name!, { text: inner, meaning: inner });
        return null;
      }
      case 'EXECUTE': {
        const prepared = this.statements.get(name!);
        return prepared === undefined ? '26000' : this.run(this.plan(prepared.meaning), say, true, depth + 1);
      }
      case 'DEALLOCATE':
        return this.deallocate(name!);
      case 'DISCARD':
        if (this.block !== 'I' || isImplicitBlock) return '25001';
        this.portals.clear();
        this.deallocate('ALL');
        this.own = { base: this.defaults, local: {} };
        return null;
      case 'SET':
        return this.set(meaning);
      case 'RESET':
        if (name === 'ALL') this.own = { base: this.defaults, local: {} };
        else this.set(`SET search_path = ${this.defaults.path}`);
        return null;
      case 'BEGIN':
      case 'COMMIT':
      case 'ROLLBACK':
      case 'SAVEPOINT':
        return this.transaction(meaning);
      case 'DECLARE':
        if (this.block === 'I') return '25P01';
        if (this.portals.has(name!)) return '42P03';
        this.bind(name!, 'SELECT c');
        return null;
      case 'CLOSE':
        if (name === 'ALL') this.portals.clear();
        else if (!this.portals.delete(name!)) return '34000';
        return null;
      case 'EXPLAIN':
        this.ran.push(this.plan('SELECT f'));
        return null;
      default:
        this.ran.push(meaning);
        return null;
    }
  }

  private set(text: string): null {
    const [, local, setting, value] = /^SET (LOCAL )?(\w+) = (.*)$/.exec(text)!;
    const name = setting === 'search_path' ? 'path' : 'standardStrings';
    const { base, local: hiding } = this.own;
    this.own =
      local === undefined
        ? { base: { ...base, [name]: value }, local: { ...hiding, [name]: undefined } }
        : { base, local: { ...hiding, [name]: value } };
    return null;
  }

  private transaction(text: string): string | null {
    switch (text) {
      case 'BEGIN':
        if (this.block === 'I') this.block = 'T';
        return null;
      case 'COMMIT':
      case 'COMMIT AND CHAIN': {
        const failed = this.commitFails;
        const chains = text !== 'COMMIT' && this.block !== 'I';
        if (this.block === 'I' && text !== 'COMMIT') return '25P01';
        if (this.block === 'E' || failed) this.own = { base: this.before, local: {} };
        this.end();
        if (failed) return '23505';
        if (chains) this.block = 'T';
        return null;
      }
      case 'ROLLBACK':
        this.own = { base: this.before, local: {} };
        this.end();
        return null;
    }
    if (this.block === 'I') return '25P01';
    const name = text.split(' ').at(-1)!;
    if (text.startsWith('SAVEPOINT')) {
      this.savepoints.push({ name, own: this.own });
      return null;
    }
    const at = this.savepoints.findLastIndex((savepoint) => savepoint.name === name);
    if (at < 0) return '3B001';
    this.own = this.savepoints[at]!.own;
    this.savepoints.length = at + 1;
    this.block = 'T';
    for (const [portal, { depth }] of this.portals) if (depth > at) this.portals.delete(portal);
    return null;
  }

  /** The unnamed statement is none of those that DEALLOCATE ALL drops. */
  private deallocate(name: string): string | null {
    if (name !== 'ALL') return this.statements.delete(name) ? null : '26000';
    for (const known of this.statements.keys()) if (known !== '') this.statements.delete(known);
    return null;
  }
}

/** Whether each statement of a text parses, which the server sees before it runs any. */
export function parses(text: string): boolean {
  return text !== 'BAD' && !text.startsWith('holdfast');
}

/** The tag of a text when it is done; an EXECUTE has that of what it runs. */
export function tagOf(meaning: string, statements: ReadonlyMap<string, ModelStatement>, depth = 0): string {
  const [verb, name] = meaning.split(' ');
  if (verb === 'EXECUTE' && depth < 9) {
    return tagOf(statements.get(name!)?.meaning ?? 'SELECT', statements, depth + 1);
  }
  if (verb === 'SELECT') return 'SELECT 1';
  if (verb === 'DEALLOCATE' || verb === 'DISCARD' || verb === 'CLOSE') {
    return name === 'ALL' ? `${verb} ALL` : verb;
  }
  return verb === 'DECLARE' ? 'DECLARE CURSOR' : (verb ?? '');
}
