import { LIMITS } from '../base/limits.ts';
import type { Analysis, CalledCode, StatementEffects, TextFacts } from '../sql/effects.ts';
import { catalogFunction, isCatalogOperator, moreThanLow } from '../sql/facts/functions.ts';
import { isCatalogFirst } from '../sql/facts/search-path.ts';
import { assignmentFacts } from '../sql/facts/settings.ts';
import { NOT_UNDERSTOOD, type PlpgsqlReading } from '../sql/parsing/plpgsql.ts';
import {
  type AskedCode,
  type CodeParts,
  type FunctionPart,
  readCodeParts,
  type TextPart,
} from './code-parts.ts';
import type { HiddenConnection } from './connection.ts';
import { isTrusted, RANGE_CONSTRUCTORS, READ_BY } from './trusted-code.ts';

/**
 * Whether what a statement calls by name can change anything. All that its names may mean is looked at, whichever of it
 * the server will choose, and what that calls in turn. Whatever is not PostgreSQL's own, an extension's that is known, or a
 * text that can be read to the end and only reads, may.
 */
export type CodeVerdict =
  | {
      readonly kind: 'harmless';
      /** Nobody but a superuser can replace it, so that what stores a call of it is as harmless later. */
      readonly fixed: boolean;
      /** It may change settings of the session. */
      readonly touchesSettings: boolean;
      /** It is so in a transaction alone that cannot write, whatever what it leads to has become since that began. */
      readonly isPassing: boolean;
    }
  | { readonly kind: 'harmful'; readonly reason: string };

export interface CodeReader {
  analyze(bytes: Buffer, start: number, end: number, facts: TextFacts): Analysis | Promise<Analysis>;
  readPlpgsql(definition: string, body: string): Promise<PlpgsqlReading>;
}

/** What statements of a text call, and in which way the server reads it. */
export interface Calling {
  readonly statements: readonly StatementEffects[];
  /** OIDs of functions that run with them, triggers of events too. */
  readonly runs?: readonly string[];
  readonly facts: TextFacts;
  /** Whether what is not there makes the statement fail, because nothing in front of it can have made it. */
  readonly alone: boolean;
  /** What reads by one snapshot sees the catalog as it is, and not as it was when its transaction began. */
  readonly seesNow: boolean;
  /** It is what a read leads to, which its transaction may go by as it sees it. */
  readonly isRead: boolean;
  /** Rows of tables that it writes are counted, and what it empties or alters is told by locks. */
  readonly isCounted?: boolean;
}

export async function judgeCalledCode(
  connection: HiddenConnection,
  reader: CodeReader,
  calling: Calling,
): Promise<CodeVerdict> {
  let anywhere = false;
  for (let { facts } = calling; ; ) {
    try {
      return await new Judge(connection, reader, { ...calling, facts }, anywhere).judge();
    } catch (error) {
      if (error instanceof Harm) return { kind: 'harmful', reason: error.message };
      if (!(error instanceof ElsewherePath)) throw error;
      // Names may be looked up in schemas that the session does not look in, so that those of all schemas count.
      anywhere = true;
      facts = { ...facts, catalogFirst: facts.catalogFirst && error.catalogFirst };
    }
  }
}

/** Why it may change something, in words that read well behind "because". */
class Harm extends Error {}

/** Thrown where that makes a difference to what has been asked so far. */
class ElsewherePath extends Error {
  readonly catalogFirst: boolean;

  constructor(catalogFirst: boolean) {
    super('a function has a search_path of its own');
    this.catalogFirst = catalogFirst;
  }
}

/** What a function may run that reads, or changes settings alone. */
const READS: ReadonlySet<string> = new Set(['select', 'set', 'reset', 'show', 'set transaction', 'empty']);

/** What is seen of it where rows are counted. */
const COUNTED: ReadonlySet<string> = new Set([
  ...READS,
  'insert',
  'upsert',
  'update',
  'delete',
  'merge',
  'truncate',
]);

/** Settings by which the text of functions is read as they run. */
const READING: ReadonlySet<string> = new Set([
  ...['client_encoding', 'names', 'standard_conforming_strings', 'backslash_quote'],
  ...['role', 'session_authorization', 'session_replication_role'],
]);

class Judge {
  private readonly connection: HiddenConnection;
  private readonly reader: CodeReader;
  private readonly calling: Calling;
  private readonly anywhere: boolean;
  private readonly asked = new Set<string>();
  private readonly seen = new Set<string>();
  private pending: AskedCode[] = [];
  private parts = 0;
  private depth = 0;
  private isOld = false;
  private isReadOnly = false;
  private isPassing = false;
  private fixed = true;
  private touchesSettings = false;

  constructor(connection: HiddenConnection, reader: CodeReader, calling: Calling, anywhere: boolean) {
    this.connection = connection;
    this.reader = reader;
    this.calling = calling;
    this.anywhere = anywhere;
  }

  async judge(): Promise<CodeVerdict> {
    for (const effects of this.calling.statements) {
      this.judgeSettings(effects, 'it');
      this.follow(effects);
    }
    this.askFor((this.calling.runs ?? []).map((oid) => ({ kind: 'id', name: oid })));
    const unnamed = await this.levels(true);
    // What runs without a name does so in any statement, also where another is made later.
    const { fixed } = this;
    for (const part of unnamed) await this.judgePart(part);
    await this.levels(false);
    return { kind: 'harmless', fixed, touchesSettings: this.touchesSettings, isPassing: this.isPassing };
  }

  /** Follows what is pending, and what that leads to; gives what runs without a name, where that is asked for. */
  private async levels(isFirst: boolean): Promise<CodeParts['unnamed']> {
    let unnamed: CodeParts['unnamed'] = [];
    let isBegin = isFirst;
    while (isBegin || this.pending.length > 0) {
      if (++this.depth > LIMITS.calledCodeLevelsMax) throw new Harm('it calls what calls too much in turn');
      const parts = await this.level(isBegin);
      if (isBegin) ({ unnamed } = parts);
      isBegin = false;
    }
    return unnamed;
  }

  private async level(isFirst: boolean): Promise<CodeParts> {
    const asked = this.pending;
    this.pending = [];
    const parts = await readCodeParts(this.connection, asked, isFirst);
    this.isOld = parts.oneSnapshot && !this.calling.seesNow;
    this.isReadOnly = parts.isReadOnly && this.calling.alone;
    const lost = parts.missing.find(({ kind }) => kind === 'function' || kind === 'id');
    if (lost !== undefined && !(isFirst && this.calling.alone && !this.isOld))
      throw new Harm(`it calls ${lost.name}, which is not there yet`);
    if (parts.hidden !== null) throw new Harm(`${parts.hidden} may not be PostgreSQL's own`);
    const unseen = parts.unseen ?? (this.isOld ? parts.unfit : null);
    if (unseen !== null) throw new Harm(`it calls ${unseen}, which ${CHANGED}`);
    const isKept = this.calling.isRead ? isBodySeen : (part: FunctionPart) => isAsSeen(part, this.anywhere);
    const changed = this.isOld ? parts.functions.find((part) => !isKept(part)) : undefined;
    if (this.isOld && this.calling.isRead) this.isPassing = true;
    if (changed !== undefined) throw new Harm(`the function ${changed.name} ${CHANGED}`);
    for (const part of [...parts.functions, ...parts.texts]) await this.judgePart(part);
    return parts;
  }

  private async judgePart(part: FunctionPart | TextPart): Promise<void> {
    if (!('of' in part)) {
      if (this.isNew(part.oid)) await this.judgeFunction(part);
      return;
    }
    const { of, name, sql } = part;
    if (!this.isNew(`${of} ${name} ${sql}`)) return;
    if (of !== 'domain' && this.isOld) {
      if (!this.isReadOnly && !this.goesByIt) throw new Harm(`the ${of} ${name} ${CHANGED}`);
      this.isPassing = true;
    }
    this.fixed = false;
    // The server writes it so that no call looks like a column.
    await this.read(of === 'view' ? sql : `SELECT ${sql}`, `the ${of} ${name}`, false);
  }

  /** Whether what a read leads to is for it as its transaction sees it, which a COMMIT in front of it would end. */
  private get goesByIt(): boolean {
    const { isRead, statements } = this.calling;
    return isRead && !statements.some(({ session }) => session.some(({ kind }) => kind === 'transaction'));
  }

  private isNew(key: string): boolean {
    if (this.seen.has(key)) return false;
    this.seen.add(key);
    if (++this.parts > LIMITS.calledCodePartsMax) throw new Harm('it leads to too much code');
    return true;
  }

  private async judgeFunction(part: FunctionPart): Promise<void> {
    const { schema, name, language, extension, builtIn } = part;
    const who = `the function ${name}`;
    // Nobody can call it.
    if ((part.isTrigger && this.calling.runs?.includes(part.oid) !== true) || part.kind === 'p') return;
    if (builtIn && schema === 'pg_catalog') {
      const facts = catalogFunction(name);
      if (facts?.risk !== 'safe' && facts?.risk !== 'low') throw new Harm(`it calls ${name}`);
      return;
    }
    if (part.defaults !== null) await this.read(`SELECT ${part.defaults}`, who);
    if (part.kind === 'a') return this.askFor(part.runs.map((oid) => ({ kind: 'id', name: oid })));
    if (language === 'c' || language === 'internal') {
      if (extension !== null && isTrusted(extension, name, part.volatility, part.takesCode)) {
        const table = READ_BY[extension];
        if (table !== undefined) this.askFor([{ kind: 'relation', name: table, anywhere: true }]);
        return;
      }
      if (language === 'internal' && RANGE_CONSTRUCTORS.has(part.body)) return;
      throw new Harm(`${who} is written in C`);
    }
    if (language !== 'sql' && language !== 'plpgsql') throw new Harm(`${who} is written in ${language}`);
    this.fixed &&= builtIn;
    this.judgePath(part, who);
    if (part.definition === null) throw new Harm(`${who} ${CHANGED}`);
    if (language === 'plpgsql') return await this.readPlpgsql(part, part.definition, who);
    await this.read(part.parsedBody === null ? part.body : statementsOf(part.parsedBody, who), who);
  }

  /** Where names are looked up in a function that is not asked for in the session's own path. */
  private judgePath({ settings, runsAsOwner }: FunctionPart, who: string): void {
    let catalogFirst = true;
    let elsewhere = runsAsOwner;
    for (const setting of settings) {
      const at = setting.indexOf('=');
      const [name, value] = [setting.slice(0, at), setting.slice(at + 1)];
      if (name === 'search_path') {
        elsewhere = true;
        catalogFirst = isCatalogFirst(value);
      } else if (assignmentFacts(name, value).risk !== 'safe') throw new Harm(`${who} sets ${name}`);
    }
    if (elsewhere) this.looksElsewhere(catalogFirst);
  }

  private async readPlpgsql({ body }: FunctionPart, definition: string, who: string): Promise<void> {
    const reading = await this.reader.readPlpgsql(definition, body);
    if (reading.kind === 'unread') throw new Harm(`${who} ${reading.why}`);
    for (const name of reading.calls) {
      const risk = catalogFunction(name)?.risk ?? 'safe';
      if (risk !== 'safe' && risk !== 'low') throw new Harm(`${who} calls ${name}`);
    }
    // Which of the words are schemas is not told.
    this.askFor(reading.words.map((name) => ({ kind: 'own', name, anywhere: true })));
    this.askFor(reading.words.map((name) => ({ kind: 'relation', name, anywhere: true })));
    const operators = reading.operators.filter((name) => !isCatalogOperator(name));
    this.askFor(operators.map((name) => ({ kind: 'operator', name })));
    for (const statement of reading.statements) {
      const calls = await this.read(statement, who);
      if (calls && reading.opensCursor) throw new Harm(`${who} leaves a cursor behind that calls others`);
    }
  }

  /** Whether the text calls anything that is looked up. */
  private async read(sql: string, who: string, hasColumnsThatCall = true): Promise<boolean> {
    const bytes = Buffer.from(sql, 'utf8');
    const facts = { ...this.calling.facts, encoding: 'utf8' } as const;
    const analysis = await this.reader.analyze(bytes, 0, bytes.length, facts);
    if (analysis.status !== 'parsed' && analysis.status !== 'empty')
      throw new Harm(`${who} ${NOT_UNDERSTOOD}`);
    let calls = false;
    for (const effects of analysis.statements) {
      const problem = this.calling.isCounted === true ? problemOfCounted(effects) : problemOf(effects);
      if (problem !== null) throw new Harm(`${who} ${problem}`);
      this.judgeSettings(effects, who);
      calls ||= effects.called !== undefined;
      this.follow(effects, hasColumnsThatCall);
    }
    return calls;
  }

  /** What runs behind it reads text, and looks names up, by the settings that it has made. */
  private judgeSettings({ session }: StatementEffects, who: string): void {
    for (const effect of session) {
      if (effect.kind !== 'set' && effect.kind !== 'reset') continue;
      this.touchesSettings = true;
      const name = effect.name?.toLowerCase() ?? null;
      if (name === null || READING.has(name)) throw new Harm(`${who} changes how text is read`);
      if (name === 'search_path') this.looksElsewhere(false);
    }
  }

  private looksElsewhere(catalogFirst: boolean): void {
    if (!this.anywhere || (this.calling.facts.catalogFirst && !catalogFirst))
      throw new ElsewherePath(catalogFirst);
  }

  /** What comes in another encoding may stand for other names. */
  private readable(text: string, who: string): void {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is that of ASCII.
    if (this.calling.facts.encoding !== 'utf8' && !/^[\x00-\x7f]*$/.test(text))
      throw new Harm(`${who} is not ASCII, and the client does not write UTF-8`);
  }

  private follow({ called, functions, reads, columns }: StatementEffects, hasColumnsThatCall = true): void {
    if (called !== undefined) this.followCalls(called);
    // Of PostgreSQL's own names there may be functions that fit better.
    const asked = new Set(called?.functions.map(({ schema, name }) => (schema === null ? name : null)));
    const known = functions.filter((name) => /^[^.(]+$/.test(name) && !asked.has(name));
    this.askFor(known.map((name) => ({ kind: 'own', name })));
    this.askFor(reads.map(({ schema, name }) => ({ kind: 'relation', schema, name })));
    if (!hasColumnsThatCall) return;
    this.askFor(columns.filter(({ name }) => name !== '*').map(({ name }) => ({ kind: 'attribute', name })));
  }

  private followCalls({ functions, attributes, operators, catalogRelations = [] }: CalledCode): void {
    this.askFor(catalogRelations.map((name) => ({ kind: 'catalog', name })));
    this.askFor(functions.map(({ schema, name }) => ({ kind: 'function', schema, name })));
    this.askFor(attributes.map((name) => ({ kind: 'attribute', name })));
    this.askFor(operators.map((name) => ({ kind: 'operator', name })));
  }

  private askFor(wanted: readonly (Pick<AskedCode, 'kind' | 'name'> & Partial<AskedCode>)[]): void {
    for (const { kind, name, schema = null, anywhere = this.anywhere && schema === null } of wanted) {
      const key = JSON.stringify([kind, schema, name, anywhere]);
      if (this.asked.has(key)) continue;
      this.readable(`${schema ?? ''}${name}`, 'a name in it');
      this.asked.add(key);
      if (this.asked.size > LIMITS.calledCodeNamesMax) throw new Harm('it leads to too many names');
      this.pending.push({ kind, name, schema, anywhere });
    }
  }
}

const CHANGED = 'may have changed since its transaction began';

/**
 * Whether a function is what the transaction sees of it, which reads the catalog as it was. Its definition, and what its
 * name means, the server tells as they are.
 */
function isAsSeen(part: FunctionPart, anywhere: boolean): boolean {
  return part.builtIn || (!anywhere && part.isAlone && isBodySeen(part));
}

function isBodySeen({ definition, body, parsedBody, builtIn, language, kind }: FunctionPart): boolean {
  if (builtIn || kind === 'a') return true;
  if (language === 'c' || language === 'internal') return true;
  return parsedBody !== null || definition?.includes(body) === true;
}

/** Why a statement in a function does more than read, in words that read well behind its name; null where it does not. */
function problemOf({ operations, risk, called, session, reasons }: StatementEffects): string | null {
  const besides = called?.risk ?? risk;
  if (besides !== 'safe' && besides !== 'low')
    return `does more than read: ${reasons[0] ?? 'it is not known what'}`;
  const other = operations.find((operation) => !READS.has(operation));
  if (other !== undefined) return `does more than read: ${other}`;
  const effect = session.find(({ kind }) => kind !== 'opaque-code' && kind !== 'set' && kind !== 'reset');
  return effect === undefined ? null : `does more than read: ${effect.kind}`;
}

/** Why a statement in a function may do what no count of rows shows. */
function problemOfCounted(effects: StatementEffects): string | null {
  const { operations, functions } = effects;
  if (!operations.some((operation) => COUNTED.has(operation) && !READS.has(operation)))
    return problemOf(effects);
  const other = operations.find((operation) => !COUNTED.has(operation));
  if (other !== undefined) return `does more than write rows: ${other}`;
  const called = functions.find((name) => moreThanLow(name) !== null);
  return called === undefined ? null : `calls ${called}`;
}

/** The statements of a body that the server keeps parsed. */
function statementsOf(body: string, who: string): string {
  const returned = /^\s*RETURN\s/i.exec(body);
  if (returned !== null) return `SELECT ${body.slice(returned[0].length)}`;
  const atomic = /^\s*BEGIN\s+ATOMIC\b([\s\S]*)\bEND\s*;?\s*$/i.exec(body);
  if (atomic === null) throw new Harm(`${who} ${NOT_UNDERSTOOD}`);
  return atomic[1]!;
}
