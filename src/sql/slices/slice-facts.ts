import { isCatalogOperator, isCatalogType } from '../facts/functions.ts';
import { as, type Fields, isObject, list, nameParts, stringOf, text } from '../parsing/tree.ts';

/** A function as the text names it. */
export interface FunctionName {
  readonly schema: string | null;
  readonly name: string;
}

/** Names behind which code may run that is called nowhere in the text. */
export interface ImpliedNames {
  /** Of columns, as far as the text tells: `c.f` may be `f(c)`. */
  readonly attributes: readonly string[];
  readonly operators: readonly string[];
  /** Those that have a schema in the text. */
  readonly placedOperators: readonly string[];
  /** Of types to which values are cast. */
  readonly types: readonly string[];
  /** What is read besides; names of a WITH are among them. */
  readonly relations: readonly FunctionName[];
  /** As of all facts: something is read besides, and names that are not PostgreSQL's own. */
  readonly readsOthers: boolean;
  readonly ownNames: boolean;
}

/** What a part of a statement leans on, as far as the text tells. */
export interface SliceFacts {
  readonly parameters: readonly number[];
  readonly functions: readonly FunctionName[];
  /** It reads other rows than the one it judges. */
  readonly readsOthers: boolean;
  /** It names operators or types that are not PostgreSQL's own, behind which there may be any code. */
  readonly ownNames: boolean;
  /** Why running it a second time may give another answer, or null. */
  readonly problem: string | null;
  readonly implied: ImpliedNames;
}

/** Stable or immutable by PostgreSQL's word, and yet another answer in the next statement of a transaction. */
const CHANGING: ReadonlySet<string> = new Set([
  'statement_timestamp',
  'pg_current_snapshot',
  'pg_current_xact_id_if_assigned',
  'txid_current_snapshot',
  'txid_current_if_assigned',
  'txid_status',
  'pg_xact_status',
]);

/** Columns that a row lock changes. */
const LOCK_COLUMNS: ReadonlySet<string> = new Set(['xmax', 'cmin', 'cmax']);

export function sliceFacts(trees: readonly unknown[]): SliceFacts {
  const reader = new FactsReader();
  for (const tree of trees) reader.read(tree);
  return {
    parameters: [...reader.parameters].sort((a, b) => a - b),
    functions: [...reader.functions.values()],
    readsOthers: reader.readsOthers,
    ownNames: reader.ownNames,
    problem: reader.problem,
    implied: {
      attributes: [...reader.attributes],
      operators: [...reader.operators],
      placedOperators: [...reader.placedOperators],
      types: [...reader.types],
      relations: reader.relations,
      readsOthers: reader.readsOthers,
      ownNames: reader.ownNames,
    },
  };
}

class FactsReader {
  readonly parameters = new Set<number>();
  readonly functions = new Map<string, FunctionName>();
  readonly attributes = new Set<string>();
  readonly operators = new Set<string>();
  readonly placedOperators = new Set<string>();
  readonly types = new Set<string>();
  readonly relations: FunctionName[] = [];
  readsOthers = false;
  ownNames = false;
  problem: string | null = null;

  read(node: unknown): void {
    if (Array.isArray(node)) {
      for (const item of node) this.read(item);
      return;
    }
    if (!isObject(node)) return;
    for (const [name, value] of Object.entries(node)) {
      if (isObject(value)) this.#note(name, value);
      else if (name === 'operName' || name === 'useOp') this.#name(nameParts(value), isCatalogOperator);
      this.read(value);
    }
  }

  #note(name: string, fields: Fields): void {
    switch (name) {
      case 'ParamRef':
        this.parameters.add(Number(fields['number'] ?? 0));
        break;
      case 'FuncCall':
        this.#function(nameParts(fields['funcname']));
        break;
      case 'A_Expr':
        this.#name(nameParts(fields['name']), isCatalogOperator);
        break;
      case 'TypeName':
        this.#name(nameParts(fields['names']), isCatalogType);
        break;
      case 'typeName':
        // Of a cast, which holds it without the wrapper of a node.
        this.#name(nameParts(fields['names']), isCatalogType);
        break;
      case 'SubLink':
        this.readsOthers = true;
        break;
      case 'RangeVar':
        this.readsOthers = true;
        this.relations.push({ schema: text(fields['schemaname']), name: text(fields['relname']) ?? '' });
        break;
      case 'ColumnRef':
        this.#attribute(stringOf(list(fields['fields']).at(-1)) ?? '');
        break;
      case 'A_Indirection':
        // A row in parentheses has its system columns as well.
        for (const part of list(fields['indirection'])) this.#attribute(stringOf(part) ?? '');
        break;
      case 'RangeTableSample':
        this.problem ??= 'it samples rows at random';
        break;
      case 'InsertStmt':
      case 'UpdateStmt':
      case 'DeleteStmt':
      case 'MergeStmt':
        this.problem ??= 'a part of it changes data by itself';
        break;
      default:
        break;
    }
  }

  #name(parts: readonly string[], isCatalog: (name: string) => boolean): void {
    // Their input looks names up in the catalog, which others may change.
    if (isCatalog === isCatalogType && parts.at(-1)?.startsWith('reg') === true) this.readsOthers = true;
    const schema = parts.at(-2) ?? 'pg_catalog';
    const name = parts.at(-1) ?? '';
    if (isCatalog === isCatalogType) this.types.add(name);
    else (parts.length > 1 ? this.placedOperators : this.operators).add(name);
    // BETWEEN and its like are their own names in the tree.
    const special = parts.length === 1 && /^[A-Z ]+$/.test(parts[0]!);
    if (schema !== 'pg_catalog' || !(special || isCatalog(name))) this.ownNames = true;
  }

  #attribute(name: string): void {
    if (name !== '') this.attributes.add(name);
    this.#column(name);
  }

  #column(name: string): void {
    if (LOCK_COLUMNS.has(name))
      this.problem ??= `it reads the system column ${name}, which a row lock changes`;
  }

  #function(parts: readonly string[]): void {
    const name = parts.at(-1) ?? '';
    // A system column may be called like a function of the row.
    this.#column(name);
    const schema = parts.at(-2) ?? null;
    if (CHANGING.has(name)) this.problem ??= `${name} may answer differently a second time`;
    this.functions.set(`${schema}.${name}`, { schema, name });
  }
}

/** Whether a WITH clause only reads. */
export function onlyReads(withClause: unknown): boolean {
  const ctes = isObject(withClause) ? list(withClause['ctes']) : [];
  return ctes.every((cte) => as(as(cte, 'CommonTableExpr')?.['ctequery'], 'SelectStmt') !== null);
}
