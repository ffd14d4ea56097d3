import { LIMITS } from '../../base/limits.ts';
import type { CodedRelation, Definition } from '../../catalog/read-code.ts';
import type { TextFacts } from '../../sql/effects.ts';
import type { Analyzer } from '../services.ts';
import { readNamesOf } from './read-names.ts';

/** What a part of a relation's definition names. */
export interface DefinedBy {
  readonly functions: readonly string[];
  readonly operators: readonly string[];
  /** OIDs. */
  readonly relations: readonly number[];
  readonly types: readonly number[];
}

/**
 * Definitions of views and policies, as they were read once: none of them is read again before it is another. The
 * server writes them so that no call looks like a column.
 */
export class DefinitionsRead {
  private readonly known = new Map<string, readonly DefinedBy[] | null>();

  /** Null where it does more than read and call what is PostgreSQL's own; undefined where it has not been read. */
  of(relation: CodedRelation): readonly DefinedBy[] | null | undefined {
    return relation.version === null ? null : this.known.get(keyOf(relation.oid, relation.version));
  }

  async learn(definitions: readonly Definition[], analyzer: Analyzer, facts: TextFacts): Promise<void> {
    const found = new Map<string, readonly DefinedBy[] | null>();
    for (const definition of definitions) {
      const key = keyOf(definition.oid, definition.version);
      const earlier = found.get(key);
      const part = earlier === null ? null : await read(definition, analyzer, facts);
      found.set(key, part === null ? null : [...(earlier ?? []), part]);
    }
    if (this.known.size + found.size > LIMITS.calledCodesMax) this.known.clear();
    for (const [key, names] of found) this.known.set(key, names);
  }
}

/** Another database of the server has the same where it is a copy, with the same definition. */
function keyOf(oid: number, version: string): string {
  return `${oid} ${version}`;
}

async function read(
  { of, sql, relations, types }: Definition,
  analyzer: Analyzer,
  facts: TextFacts,
): Promise<DefinedBy | null> {
  const bytes = Buffer.from(of === 'view' ? sql : `SELECT ${sql}`, 'utf8');
  const analysis = await analyzer.analyze(bytes, 0, bytes.length, { ...facts, encoding: 'utf8' });
  const [only, ...others] = analysis.statements;
  if (analysis.status !== 'parsed' || only === undefined || others.length > 0) return null;
  if (only.called !== undefined || only.session.length > 0) return null;
  if (only.operations.some((each) => each !== 'select')) return null;
  if (only.risk !== 'safe' && only.risk !== 'low') return null;
  const names = readNamesOf(analysis)?.[0];
  return { functions: names?.functions ?? [], operators: names?.operators ?? [], relations, types };
}
