import type { FunctionFacts } from '../catalog/catalog.ts';
import type { Relation } from '../catalog/relation.ts';
import { moreThanLow } from '../sql/facts/functions.ts';
import type { RowsSlice, UpsertSlice } from '../sql/slices/slice.ts';
import type { FunctionName } from '../sql/slices/slice-facts.ts';
import { type CascadeGraph, descendants, type Relations } from './cascade.ts';
import type { RowGroup } from './group.ts';
import { first } from './plan-parts.ts';
import type { Seed } from './seed.ts';

/** Why there is no exact plan, in words that read well behind "because"; null where there is one. */

export function problemOfCalls(
  slice: RowsSlice | UpsertSlice,
  facts: readonly FunctionFacts[],
): string | null {
  const more = first(slice.calls, problemOfCall);
  if (more !== null) return more;
  for (const { schema, name } of slice.functions) {
    const found = facts.find((each) => each.schema === schema && each.name === name);
    if (found === undefined || found.volatility === 'unknown') return `the function ${name} is not known`;
    if (found.volatility === 'volatile') return `${name} may answer differently a second time`;
  }
  return null;
}

/** Of what PostgreSQL's own functions do besides, rows of tables that are not known of show nothing. */
function problemOfCall({ schema, name }: FunctionName): string | null {
  const known = schema === null || schema === 'pg_catalog' ? moreThanLow(name) : null;
  return known === null ? null : `${name} ${known.reason}`;
}

export function problemOfGraph(graph: CascadeGraph, seed: Seed): string | null {
  for (const edge of graph.edges) {
    const to = graph.nodes[edge.to]!;
    if (to.level === 0 && to.change.kind === 'update') {
      return `the foreign key ${edge.reference.name} changes the very rows again that are updated`;
    }
    const origin = graph.nodes[edge.from]!;
    const problem = origin.level === 0 && origin.change.kind === 'update' ? seed.keyProblem(edge) : null;
    if (problem !== null) return problem;
  }
  return null;
}

export function problemOfGroup(
  group: RowGroup,
  seed: Seed,
  graph: CascadeGraph,
  relations: Relations,
): string | null {
  const involved = new Set([group.relation, ...group.nodes.map(({ relation }) => relation)]);
  for (const edge of graph.edges) {
    if (group.nodes.some(({ id }) => id === edge.to || id === edge.from)) involved.add(edge.referenced);
  }
  for (const relation of involved) {
    const problem = problemOfReading(relation);
    if (problem !== null) return problem;
  }
  const events = group.nodes.map(({ change }) => change.kind as string);
  if (seed.inserts && group.nodes.some(({ level }) => level === 0)) events.push('insert');
  const moves = group.relation.kind === 'partitioned table' && events.includes('update');
  const deferred = putOff(group, relations, moves ? [...events, 'insert', 'delete'] : events);
  if (deferred !== null) return deferred;
  const rewritten = [...involved].find(({ rules }) => rules.some((event) => events.includes(event)));
  if (rewritten !== undefined) return `a rule rewrites what is done to ${rewritten.name}`;
  return problemOfStorage(group, relations);
}

/** What a trigger does at COMMIT comes after the proof. */
function putOff(group: RowGroup, relations: Relations, events: readonly string[]): string | null {
  for (const table of group.stored) {
    const found = relations
      .get(table.oid)
      ?.triggers.find(
        (trigger) => trigger.deferrable && trigger.events.some((event) => events.includes(event)),
      );
    if (found !== undefined) return `the trigger ${found.name} may run as late as at COMMIT`;
  }
  return null;
}

export function problemOfTruncate(group: RowGroup, relations: Relations): string | null {
  for (const relation of [group.relation, ...group.stored]) {
    const problem = problemOfReading(relation, false);
    if (problem !== null) return problem;
  }
  return problemOfStorage(group, relations);
}

function problemOfReading(relation: Relation, locks = true): string | null {
  const { kind, name } = relation;
  if (kind !== 'table' && kind !== 'partitioned table') return `${name} is a ${kind}`;
  if (!relation.select) return `this role may not read ${name}`;
  if (locks && !relation.update) return `this role may not lock rows of ${name}`;
  if (relation.rowSecurity) return `row security hides rows of ${name} from this role`;
  return null;
}

function problemOfStorage(group: RowGroup, relations: Relations): string | null {
  const inherited = group.relation.kind === 'table' && group.stored.length > 1;
  for (const table of group.stored) {
    if (table.kind !== 'table') return `${table.name} is a ${table.kind}`;
    if (!table.heap) return `${table.name} is not stored in PostgreSQL's own way`;
    const problem = inherited ? problemOfReading(table) : null;
    if (problem !== null) return problem;
  }
  const below = descendants(group.relation, relations).find(({ kind }) => kind === 'foreign table');
  return below === undefined || group.stored.length === 1 ? null : `${below.name} is a foreign table`;
}
