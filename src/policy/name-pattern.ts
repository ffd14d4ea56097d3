import type { ColumnName, RelationName } from '../sql/effects.ts';
import { both, type Certainty } from './certainty.ts';
import { compileGlob, type Glob, globProblem } from './glob.ts';

/**
 * A pattern for a qualified name. A part that the pattern leaves out matches anything; a part that the
 * statement leaves out is unknown, and an unknown part matches surely only where every name would.
 */
export interface TablePattern {
  readonly schema: Glob;
  readonly name: Glob;
}

export interface ColumnPattern {
  readonly table: TablePattern;
  readonly name: Glob;
}

const ANY = compileGlob('*');

export function compileTable(source: string): TablePattern {
  const [name, schema] = splitName(source).reverse();
  return { name: compileGlob(name ?? '*'), schema: schema === undefined ? ANY : compileGlob(schema) };
}

export function compileColumn(source: string): ColumnPattern {
  const [name, table, schema] = splitName(source).reverse();
  return {
    name: compileGlob(name ?? '*'),
    table: {
      name: table === undefined ? ANY : compileGlob(table),
      schema: schema === undefined ? ANY : compileGlob(schema),
    },
  };
}

/** What is wrong with the pattern of a name that has at most so many parts, or null. */
export function namePatternProblem(source: string, form: string): string | null {
  const whole = globProblem(source);
  if (whole !== null) return whole;
  const parts = splitName(source);
  const partsMax = form.split('.').length;
  if (parts.length > partsMax) return `expected at most ${form}; put a name that has dots in double quotes`;
  if (parts.some((part) => part === '')) return `expected ${form}, found an empty part`;
  if (parts.some((part) => part.includes('"'))) return 'a double quote that does not enclose a whole part';
  return null;
}

export function matchTable(pattern: TablePattern, table: RelationName): Certainty {
  return both(matchKnown(pattern.schema, table.schema), pattern.name.match(table.name));
}

export function matchColumn(pattern: ColumnPattern, column: ColumnName): Certainty {
  return both(matchColumnTable(pattern.table, column.table), pattern.name.match(column.name));
}

/** A function's name as the text writes it, with or without its schema. */
export function matchFunction(pattern: TablePattern, name: string): Certainty {
  const [plain, schema] = splitName(name).reverse();
  return matchTable(pattern, { schema: schema ?? null, name: plain ?? name });
}

function matchColumnTable(pattern: TablePattern, table: RelationName | null): Certainty {
  if (table === null) return pattern.schema.any && pattern.name.any ? 'sure' : 'possible';
  return matchTable(pattern, table);
}

function matchKnown(glob: Glob, name: string | null): Certainty {
  if (name === null) return glob.any ? 'sure' : 'possible';
  return glob.match(name);
}

/** Splits at the dots that stand outside double quotes, and takes the quotes off. */
function splitName(source: string): string[] {
  const parts = source.match(/"(?:[^"]|"")*"|[^."]+|\.|"/g) ?? [];
  const names: string[] = [''];
  for (const part of parts) {
    if (part === '.') names.push('');
    else if (part.length > 1 && part.startsWith('"'))
      names[names.length - 1] += part.slice(1, -1).replaceAll('""', '"');
    else names[names.length - 1] += part;
  }
  return names;
}
