import { randomBytes } from 'node:crypto';
import type { CatalogAnswer } from '../catalog/catalog.ts';
import { type HiddenConnection, HiddenQueryError } from '../catalog/connection.ts';
import { quoteQualified } from '../catalog/quote.ts';
import { bestKey, type OwnedSequence, type Relation } from '../catalog/relation.ts';
import type { WriteSlice } from '../sql/slices/slice.ts';
import { plainQuery, StalePlan } from './capture.ts';
import { capturedColumns, from, valuesOf } from './capture-sql.ts';
import { type ChangedRows, descendants, storedIn } from './cascade.ts';
import { problemOfTruncate } from './eligibility.ts';
import { groupOverlapping, type RowGroup } from './group.ts';
import type { CaptureSource, Cause, PlannedTable, PlanOutcome, StatementParameters } from './plan.ts';
import {
  areTemporary,
  captured,
  exact,
  first,
  formatsOf,
  NEEDLESS,
  none,
  problemOfTexts,
} from './plan-parts.ts';
import { identityOf } from './row-identity.ts';

/** TRUNCATE: whole tables, read under the lock that the statement will take. */

type Truncate = Extract<WriteSlice, { kind: 'truncate' }>;

/** It empties what is there, and its lock lets the transaction see no more than before. */
const EARLIER =
  'it takes all rows, and its transaction (REPEATABLE READ or SERIALIZABLE) sees only those of an earlier moment';

export function planTruncate(
  slice: Truncate,
  answer: CatalogAnswer,
  parameters: StatementParameters,
): PlanOutcome {
  const causes = truncated(slice, answer);
  if (causes === null) return missing(slice, answer);
  const nodes = [...causes].map(
    ([relation, cause], id): ChangedRows => ({
      id,
      relation,
      only: isAlone(relation, cause, slice, answer),
      change: { kind: 'delete' },
      level: levelOf(cause),
    }),
  );
  const groups = groupOverlapping(nodes, answer.relations);
  const problem = first(groups, (group) => problemOfTruncate(group, answer.relations));
  if (problem !== null) return none(problem);
  const tables: PlannedTable[] = [];
  const sources = groups.flatMap((group) =>
    group.stored.map((relation) => wholeTable(relation, group, causes, tables)),
  );
  const sequences = slice.restartsSequences ? ownedBy(nodes, answer) : [];
  const hidden = sequences.find(({ select }) => !select);
  if (hidden !== undefined) return none(`this role may not read the sequence ${hidden.name}`);
  const unreadable = problemOfTexts(tables, answer);
  if (unreadable !== null) return none(unreadable);
  const emptied = [...causes.keys(), ...tables.map(({ oid }) => answer.relations.get(oid)!)];
  const opaque = emptied.some(({ triggers }) => triggers.length > 0);
  if (!opaque && areTemporary(tables, answer)) return NEEDLESS;
  if (answer.oneSnapshot) return none(EARLIER);
  return exact({
    operation: 'truncate',
    lock: `LOCK TABLE ${groups.map((group) => from(group.relation, group.stored.length === 1 && group.relation.kind === 'table')).join(', ')} IN ACCESS EXCLUSIVE MODE`,
    sources,
    tables,
    sequences,
    parameters,
    bases: [answer.basis],
    keptByTargetLock: false,
    tablesAreLocked: true,
    opaque,
    watchesAll: opaque,
    keptBy: 'locks',
    ownRowOnly: true,
    countedByTag: false,
  });
}

/** A table that is never there, since nobody can guess its name. */
const NOWHERE = `pg_catalog.holdfast_${randomBytes(12).toString('hex')}`;

function missing({ targets }: Truncate, { roots }: CatalogAnswer): PlanOutcome {
  const none = { kind: 'none', reason: 'one of its targets does not exist', missing: true } as const;
  if (!roots.includes(null)) return none;
  const names = targets.map(
    ({ only, schema, name }) => `${only ? 'ONLY ' : ''}${quoteQualified(schema, name)}`,
  );
  return { ...none, refuse: (connection) => refuse(connection, names) };
}

/**
 * The server says what stands against the statement, in its own order: a transaction that only reads, rights on those of its
 * tables that are there, and the one that is not. It looks at all of them before it empties any.
 */
async function refuse(connection: HiddenConnection, names: readonly string[]): Promise<never> {
  const sql = `TRUNCATE ${[...names, NOWHERE].join(', ')}`;
  await connection
    .run(plainQuery(sql), () => {})
    .catch((error: unknown) => {
      const isThere = error instanceof HiddenQueryError && error.fields['M']?.includes(NOWHERE) === true;
      throw isThere ? new StalePlan('a table has come to be there') : error;
    });
  throw new Error('what is never there was emptied');
}

/** TRUNCATE … RESTART IDENTITY starts the sequences of all that it empties anew, wholes of partitions included. */
function ownedBy(nodes: readonly ChangedRows[], { relations }: CatalogAnswer): OwnedSequence[] {
  const emptied = nodes.flatMap(({ relation, only }) =>
    only ? [relation] : [relation, ...descendants(relation, relations)],
  );
  return [...new Set(emptied)].flatMap(({ sequences }) => sequences);
}

/** A table that only refers to another is emptied without its descendants, unless they are partitions. */
function isAlone(relation: Relation, cause: Cause, slice: Truncate, { roots }: CatalogAnswer): boolean {
  if (relation.kind === 'partitioned table') return false;
  return (
    cause.kind === 'cascade' || slice.targets.every((target, i) => target.only || roots[i] !== relation.oid)
  );
}

function levelOf(cause: Cause): number {
  return cause.kind === 'cascade' ? cause.level : 0;
}

/** What will be emptied: the targets and, with CASCADE, all that refers to them, each with its distance. */
function truncated(slice: Truncate, { roots, relations }: CatalogAnswer): Map<Relation, Cause> | null {
  const out = new Map<Relation, Cause>();
  for (const root of roots) {
    const relation = relations.get(root ?? 0);
    if (relation === undefined) return null;
    out.set(relation, { kind: 'target' });
  }
  if (!slice.cascade) return out;
  for (const [relation, cause] of out) {
    const graph = [relation, ...storedIn(relation, false, relations)];
    for (const { references } of graph) {
      for (const { referrer, name } of references) {
        const other = relations.get(referrer);
        if (other === undefined || out.has(other)) continue;
        out.set(other, { kind: 'cascade', constraint: name, level: levelOf(cause) + 1 });
      }
    }
  }
  return out;
}

function causeOf({ nodes }: RowGroup, causes: ReadonlyMap<Relation, Cause>): Cause {
  const nearest = nodes.reduce((a, b) => (b.level < a.level ? b : a));
  return causes.get(nearest.relation)!;
}

function wholeTable(
  relation: Relation,
  group: RowGroup,
  causes: ReadonlyMap<Relation, Cause>,
  tables: PlannedTable[],
): CaptureSource {
  const columns = captured(relation);
  const cause = causeOf(group, causes);
  const [named] = group.nodes;
  tables.push({
    oid: relation.oid,
    schema: relation.schema,
    name: relation.name,
    cause,
    changes: ['truncate'],
    key: bestKey(relation)?.columns ?? null,
    ...(group.nodes.length === 1 && cause.kind === 'target' ? { identity: identityOf(named!.relation) } : {}),
    columns,
    source: tables.length,
    direct: relation.select,
    mayGainRows: false,
  });
  return {
    sql: `SELECT ${capturedColumns('r', columns)} FROM ${from(relation, true)} r`,
    unplaced: `SELECT ${valuesOf('r', columns).join(', ')} FROM ${from(relation, true)} r`,
    from: from(relation, true),
    columns,
    resultFormats: formatsOf(columns),
    tables: [relation.oid],
  };
}
