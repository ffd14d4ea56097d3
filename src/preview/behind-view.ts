import type { Catalog } from '../catalog/catalog.ts';
import type { HiddenConnection } from '../catalog/connection.ts';
import { textColumns } from '../catalog/row.ts';
import { plainQuery } from '../snapshot/capture.ts';
import { definitionOf, onTableOf, problemOfView } from '../snapshot/plan-view.ts';
import { type Unknown, unknown } from './preview.ts';
import type { PreviewSubject } from './request.ts';
import type { Sandbox } from './sandbox.ts';

/**
 * A statement on a view of one table as one on that table, where both look at nothing but its rows; null where its target is
 * no view. The view itself is neither planned nor run: what is behind it is looked at like the words of the statement.
 */
export async function behindView(
  sandbox: Sandbox,
  catalog: Catalog,
  subject: PreviewSubject,
): Promise<PreviewSubject | Unknown | null> {
  const { slice, targets, request } = subject;
  const [view] = targets;
  if (view?.kind !== 'view') return null;
  if (slice.kind !== 'rows') return unknown(`${view.name} is a view`);
  const problem = problemOfView(view, slice);
  if (problem !== null) return unknown(problem);
  return await sandbox.step(async (connection) => {
    const definition = await definitionOf(connection, view, false);
    const through = onTableOf(slice, definition);
    if ('kind' in through) return unknown(through.reason);
    if (through.slice.readsOthers)
      return unknown(`${view.name} is a view, and other relations are read with it`);
    const { scope } = request;
    const asked = { scope, relations: [through.base], allReferrers: false, functions: through.slice.calls };
    const answer = await catalog.ask(connection, asked);
    const base = answer.relations.get(answer.roots[0] ?? 0);
    if (base?.kind !== 'table' && base?.kind !== 'partitioned table')
      return unknown(`${view.name} is no view of a table`);
    // By whose rights the view reads its table is for the server to tell.
    if (await hasRowSecurity(connection, base.oid))
      return unknown(`row security may hide rows of ${base.name}`);
    return { ...subject, slice: through.slice, answer, targets: [base], definition };
  });
}

async function hasRowSecurity(connection: HiddenConnection, oid: number): Promise<boolean> {
  let found = '';
  const sql = `SELECT c.relrowsecurity FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ${oid}`;
  await connection.run(plainQuery(sql), (row) => {
    found = textColumns(row)[0] ?? '';
  });
  return found !== 'f';
}
