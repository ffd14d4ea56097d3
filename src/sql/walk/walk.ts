import { LIMITS } from '../../base/limits.ts';
import {
  type AmbiguousNames,
  type CalledCode,
  type ColumnName,
  type Predicate,
  type RelationName,
  RISKS,
  type Risk,
  type SessionEffect,
  type StatementEffects,
  TYPE_PREFIX,
  worseRisk,
} from '../effects.ts';
import { catalogFunction, isCatalogOperator, isCatalogType } from '../facts/functions.ts';
import { type Fields, isObject, type NodeName, unwrap } from '../parsing/tree.ts';
import { Scope } from './scope.ts';

/**
 * What to do with a node: look at what is inside it (`descend`), know that nothing inside matters (`leaf`),
 * refuse it because the grammar never makes it (`never`), or a function that says what it does and descends.
 */
export type Rule = 'descend' | 'leaf' | 'never' | ((walk: Walk, fields: Fields, name: NodeName) => void);
export type Rules = Readonly<Record<NodeName, Rule>>;
/** Fields that hold a node without its wrapper, by the node that has them. */
export type TypedFields = Readonly<Partial<Record<NodeName, Readonly<Record<string, NodeName>>>>>;

/** The grammar as data: given to the walk, because the rules themselves need the walk. */
export interface Grammar {
  readonly rules: Rules;
  readonly typedFields: TypedFields;
}

/** What the analysis of one text has learnt beyond its statements. */
export interface TextNotes {
  /** A conclusion came from the value of a literal, so it holds for this very text only. */
  literalsRead: boolean;
  /** Characters of it that are masked as a secret and may be code. */
  readonly unseenChars: number;
}

export const TRASH_SCHEMA = 'holdfast_trash';

const PREDICATE_ORDER: readonly Predicate[] = ['not-applicable', 'cursor', 'scoped', 'tautology', 'none'];

const MAKES_CODE = ['create function', 'create procedure'] as const;

/** Walks the tree of one statement and gathers its effects. */
export class Walk {
  readonly grammar: Grammar;
  readonly catalogFirst: boolean;
  readonly notes: TextNotes;
  scope = new Scope(null);
  readonly #session: SessionEffect[] = [];
  readonly #operations = new Set<string>();
  readonly #reasons = new Map<string, Risk>();
  readonly #reads = new Map<string, RelationName>();
  readonly #writes = new Map<string, RelationName>();
  readonly #columns = new Map<string, ColumnName>();
  readonly #functions = new Set<string>();
  readonly #calledFunctions: RelationName[] = [];
  readonly #calledAttributes: string[] = [];
  readonly #calledOperators: string[] = [];
  readonly #ofRows = new Set<string>();
  readonly #ofValues = new Set<string>();
  readonly #operators = new Set<string>();
  readonly #catalogRelations: string[] = [];
  #hasCalled = false;
  #risk: Risk = 'safe';
  /** But for what is called by a name of which the text does not tell whose code it is. */
  #riskBesides: Risk = 'safe';
  #predicate: Predicate = 'not-applicable';
  #rowsMax: number | null = null;
  readonly #only: RelationName[] = [];
  #opaque = false;
  #planning = false;

  constructor(grammar: Grammar, catalogFirst: boolean, notes: TextNotes) {
    this.grammar = grammar;
    this.catalogFirst = catalogFirst;
    this.notes = notes;
  }

  /** A walk of its own for a statement that is stored and not run, like that of PREPARE. */
  apart(): Walk {
    return new Walk(this.grammar, this.catalogFirst, this.notes);
  }

  get risk(): Risk {
    return this.#risk;
  }

  // --- the tree ---

  /** Visits a wrapped node, a list of them, or nothing. */
  visit(value: unknown): void {
    if (Array.isArray(value)) {
      for (const item of value) this.visit(item);
      return;
    }
    if (value === undefined || value === null) return;
    const node = unwrap(value);
    if (node !== null) this.visitAs(node.name as NodeName, node.fields);
    else if (isObject(value) && Object.keys(value).length > 0) this.unknown('a nameless node');
  }

  visitAs(name: NodeName, fields: unknown): void {
    if (fields === undefined || fields === null) return;
    const rule = Object.hasOwn(this.grammar.rules, name) ? this.grammar.rules[name] : 'never';
    if (!isObject(fields) || rule === 'never') this.unknown(name);
    else if (rule === 'descend') this.descend(name, fields);
    else if (rule !== 'leaf') rule(this, fields, name);
  }

  /** Visits everything inside a node but the fields named. */
  descend(name: NodeName, fields: Fields, except: readonly string[] = []): void {
    const typed = this.grammar.typedFields[name];
    for (const field in fields) {
      const value = fields[field];
      if (typeof value !== 'object' || except.includes(field)) continue;
      const type = typed !== undefined && Object.hasOwn(typed, field) ? typed[field] : undefined;
      if (type === undefined) this.visit(value);
      else this.visitAs(type, value);
    }
  }

  // --- what was found ---

  /** The first operation is the statement's own. */
  operation(operation: string, risk: Risk, reason = ''): void {
    if (this.#planning) return;
    this.#operations.add(operation);
    this.raise(risk, reason === '' ? operation : reason);
  }

  raise(risk: Risk, reason: string): void {
    this.#riskBesides = worseRisk(this.#riskBesides, risk);
    this.#raise(risk, reason);
  }

  #raise(risk: Risk, reason: string): void {
    this.#risk = worseRisk(this.#risk, risk);
    if (risk === 'safe') return;
    if (this.#reasons.size < LIMITS.effectNamesMax) this.#reasons.set(reason, risk);
  }

  unknown(what: string): void {
    this.#operations.add('unknown');
    this.raise('critical', `contains what is not known: ${what}`);
  }

  opaque(risk: Risk, reason: string): void {
    this.#opaque = true;
    this.raise(risk, reason);
  }

  /** Code is found by its name, so that the catalog can be asked what it is. */
  #calls(reason: string): void {
    this.#opaque = true;
    this.#hasCalled = true;
    this.#raise('high', reason);
  }

  /** Whoever is to decide does not see what code does of which a part may be masked. */
  #tellUnseen(): void {
    const { unseenChars: chars } = this.notes;
    if (chars === 0 || !(this.#opaque || MAKES_CODE.some((operation) => this.#operations.has(operation))))
      return;
    this.raise('critical', `keeps ${chars} characters as a secret, which may be code`);
  }

  read(relation: RelationName | null): void {
    if (relation !== null) this.#relation(this.#reads, relation);
  }

  write(relation: RelationName | null): void {
    if (relation === null) return;
    if (this.#planning) return this.read(relation);
    this.#relation(this.#writes, relation);
    if (isSystemRelation(relation)) this.raise('critical', 'writes the system catalog');
    if (relation.name === 'pg_settings') this.settingsUnread();
  }

  /** Settings are changed without the text telling which, so that those which matter to its reading may be. */
  settingsUnread(): void {
    for (const name of ['search_path', 'client_encoding']) {
      this.effect({ kind: 'set', name, value: null, local: false });
    }
  }

  #relation(into: Map<string, RelationName>, relation: RelationName): void {
    this.guard(relation.schema);
    this.#add(into, `${relation.schema ?? ''}\0${relation.name}`, relation);
  }

  /** A schema or database that is named anywhere; the trash is out of bounds, whatever is done to it. */
  guard(schema: string | null): void {
    if (schema === TRASH_SCHEMA) this.raise('critical', 'touches the guarded schema holdfast_trash');
    // What was dropped as a whole database begins with its name.
    else if (schema?.startsWith(`${TRASH_SCHEMA}_`) === true)
      this.raise('critical', 'touches a database that was dropped');
  }

  /** The same for whatever is named inside a node whose parts have no rules of their own. */
  guardAll(value: unknown): void {
    if (typeof value === 'string') this.guard(value);
    else if (typeof value === 'object' && value !== null) {
      for (const part of Object.values(value)) this.guardAll(part);
    }
  }

  column(table: RelationName | null, name: string): void {
    this.#add(this.#columns, `${table?.schema ?? ''}\0${table?.name ?? ''}\0${name}`, { table, name });
  }

  #add<T extends object>(into: Map<string, T>, key: string, value: T): void {
    if (into.has(key)) return;
    if (into.size < LIMITS.effectNamesMax) into.set(key, Object.freeze(value));
    else this.raise('critical', 'names too many relations or columns');
  }

  only(relation: RelationName): void {
    this.#only.push(relation);
  }

  /** Of the statement as a whole. */
  rowsAtMost(rows: number | null): void {
    this.#rowsMax = rows;
  }

  predicate(predicate: Predicate): void {
    if (this.#planning) return;
    if (PREDICATE_ORDER.indexOf(predicate) > PREDICATE_ORDER.indexOf(this.#predicate))
      this.#predicate = predicate;
  }

  effect(effect: SessionEffect): void {
    if (this.#planning && effect.kind !== 'execute' && effect.kind !== 'set') return;
    this.#session.push(effect);
  }

  schemaChange(): void {
    if (!this.#session.some((effect) => effect.kind === 'schema-change'))
      this.effect({ kind: 'schema-change' });
  }

  /**
   * Visits a statement that is planned and not run, as EXPLAIN does. What it would write is only read; the
   * functions in it count in full, because planning runs them.
   */
  plan(statement: unknown): void {
    this.#planning = true;
    this.visit(statement);
    this.#planning = false;
  }

  /** A function by its name as written, which pg_catalog answers for or nobody does. */
  call(parts: readonly string[]): void {
    const name = parts.at(-1) ?? '';
    const schema = parts.at(-2) ?? null;
    this.#named(schema === null ? name : `${schema}.${name}`);
    this.guard(schema);
    const facts = catalogFunction(name);
    if (facts !== undefined && facts.risk !== 'safe') {
      // A name that is dangerous in pg_catalog counts wherever it is said to be: an extension's is no better.
      if (facts.opaque) this.opaque(facts.risk, `calls ${name}, which ${facts.reason}`);
      else this.raise(facts.risk, `calls ${name}, which ${facts.reason}`);
    }
    if (schema === 'pg_catalog' && facts !== undefined) return;
    if (facts !== undefined && schema === null && this.catalogFirst) return;
    this.#calledFunctions.push(Object.freeze({ schema, name }));
    if (facts === undefined || schema !== null) this.#calls(`calls ${name}, whose code is not known`);
    else this.#calls(`calls ${name}, which search_path may have replaced`);
  }

  /** An attribute of an expression, which is a call where the value has none of the name. */
  attribute(name: string): void {
    if (catalogFunction(name) !== undefined) return this.call([name]);
    this.#named(name);
    this.#calledAttributes.push(name);
    this.#calls(`reads ${name} of a value, which may call a function of that name`);
  }

  /** A column of something, which is a call where that has none of the name; `isTold` with the columns. */
  qualified(name: string, isTold: boolean, isRow: boolean): void {
    if (name !== '*') (isRow ? this.#ofRows : this.#ofValues).add(name);
    const risk = catalogFunction(name)?.risk ?? 'safe';
    if (risk !== 'safe' && risk !== 'low' && !SAMPLINGS.has(name)) this.call([name]);
    else if (!isTold && name !== '*') this.#calledAttributes.push(name);
  }

  operator(parts: readonly string[]): void {
    const name = parts.at(-1) ?? '';
    const schema = parts.at(-2) ?? null;
    const known = isCatalogOperator(name);
    if (known && schema === null) this.#operators.add(name);
    if (known && (schema === 'pg_catalog' || (schema === null && this.catalogFirst))) return;
    this.guard(schema);
    this.#named(schema === null ? `operator(${name})` : `operator(${schema}.${name})`);
    this.#calledOperators.push(name);
    this.#calls(`uses the operator ${name}, whose code is not known`);
  }

  /**
   * A type of pg_catalog is harmless to cast to. Of others the text tells only the name: most have no code of their own, as
   * enums and those of extensions have none that writes, so that a read with such a cast is still allowed, but is no read
   * for sure.
   */
  castTo(parts: readonly string[]): void {
    const name = parts.at(-1) ?? '';
    const schema = parts.at(-2) ?? null;
    if (schema === 'pg_catalog' || schema === 'information_schema') return;
    const known = isCatalogType(name);
    if (schema === null && this.catalogFirst && known) return;
    this.#named(`${TYPE_PREFIX}${schema === null ? name : `${schema}.${name}`})`);
    if (!this.catalogFirst && known) this.#calls(`casts to ${name}, which may be replaced`);
    else this.raise('low', `casts to ${name}, whose code is not known`);
  }

  /** What the statement does rests on a relation of pg_catalog, which a temporary table of its name would hide. */
  restsOn(relation: string): void {
    this.#catalogRelations.push(relation);
    this.#calls(`takes ${relation} for PostgreSQL's own`);
  }

  #named(name: string): void {
    if (this.#functions.size < LIMITS.effectNamesMax) this.#functions.add(name);
    else this.raise('critical', 'calls too many functions');
  }

  #called(): CalledCode {
    return Object.freeze({
      risk: this.#riskBesides,
      functions: Object.freeze(this.#calledFunctions),
      attributes: Object.freeze(this.#calledAttributes),
      operators: Object.freeze(this.#calledOperators),
      ...(this.#catalogRelations.length === 0
        ? {}
        : { catalogRelations: Object.freeze(this.#catalogRelations) }),
    });
  }

  #ambiguous(): AmbiguousNames | null {
    const sets = [this.#ofRows, this.#ofValues, this.#operators];
    if (sets.every(({ size }) => size === 0)) return null;
    const [ofRows, ofValues, operators] = sets.map((each) => Object.freeze([...each]));
    return Object.freeze({ ofRows: ofRows!, ofValues: ofValues!, operators: operators! });
  }

  /** All have the same fields in the same order, because they are read with every message, and V8 knows few kinds by heart. */
  finish(startByte: number, lengthBytes: number): StatementEffects {
    this.#tellUnseen();
    if (this.#opaque) this.#session.push({ kind: 'opaque-code' });
    const operations = [...this.#operations];
    const ambiguous = this.#ambiguous();
    const reasons = [...this.#reasons].sort((a, b) => RISKS.indexOf(b[1]) - RISKS.indexOf(a[1]));
    return Object.freeze({
      operation: operations[0] ?? 'unknown',
      operations,
      risk: this.#risk,
      reasons: Object.freeze(reasons.map(([reason]) => reason)),
      highReasons: this.#risk === 'high' ? reasons.filter(([, risk]) => risk === 'high').length : undefined,
      reads: Object.freeze([...this.#reads.values()]),
      writes: Object.freeze([...this.#writes.values()]),
      columns: Object.freeze([...this.#columns.values()]),
      functions: Object.freeze([...this.#functions]),
      predicate: this.#predicate,
      called: this.#hasCalled ? this.#called() : undefined,
      ambiguous: ambiguous ?? undefined,
      rowsMax: this.#rowsMax ?? undefined,
      only: this.#only.length === 0 ? undefined : Object.freeze(this.#only),
      session: this.#session.map((effect) => Object.freeze(effect)),
      startByte,
      lengthBytes,
    });
  }
}

/** Functions that only TABLESAMPLE can call, whose names columns have. */
const SAMPLINGS: ReadonlySet<string> = new Set(['bernoulli', 'system']);

/** Unqualified names that begin with pg_ are pg_catalog's, which PostgreSQL keeps from others. */
function isSystemRelation(relation: RelationName): boolean {
  if (relation.schema === null) return relation.name.startsWith('pg_');
  return (
    relation.schema === 'pg_catalog' ||
    relation.schema === 'information_schema' ||
    relation.schema === 'pg_toast'
  );
}
