import { quoteLiteral, quoteName, quoteQualified } from '../catalog/quote.ts';
import type { ManifestSequence } from '../snapshot/manifest.ts';
import { type Doing, isToDo } from './apply-statement.ts';
import { refuse } from './outcome.ts';
import type { UndoSession } from './session.ts';
import { temp } from './statements.ts';
import type { UndoTable } from './undo-table.ts';

/** Whether `q` is a sequence that the role may read and move on: of any other relation the server refuses the question, and it may ask of all. */
const MOVABLE = `CASE WHEN q.relkind = 'S' THEN has_sequence_privilege(q.oid, 'SELECT') AND has_sequence_privilege(q.oid, 'UPDATE') ELSE false END`;

/** Sequences of whole numbers that belong to a column of a table, or of a whole that it is a partition of. */
const OWNED = `SELECT n.nspname, q.relname, a.attname, s.seqincrement > 0, s.seqmin, s.seqmax
  FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid JOIN pg_class q ON q.oid = d.objid
  JOIN pg_namespace n ON n.oid = q.relnamespace
  JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
   AND d.refobjid = ANY ($1::oid[]) AND a.atttypid IN (20, 21, 23) AND ${MOVABLE}
 ORDER BY d.objid`;

/**
 * Moves sequences on that would give a value which a row has by now, as after TRUNCATE … RESTART IDENTITY; they
 * never go back. Those that the role may not move stay: only who starts a sequence anew leaves one behind its values, and
 * what a statement has started anew is known (restoreSequences). This is not taken back with the transaction, so that it comes last. Gives their names.
 */
export async function moveSequences(
  session: UndoSession,
  table: UndoTable,
  doing: Doing,
): Promise<readonly string[]> {
  const oids = [table.current.oid, ...table.current.wholes.map(({ oid }) => oid)];
  const moved: string[] = [];
  for (const [schema, name, column, up, least, most] of await session.query(OWNED, [`{${oids.join(',')}}`])) {
    const slot = table.columns.find((each) => each.name === column)?.slot;
    if (slot === undefined) continue;
    const sequence = quoteQualified(schema!, name!);
    const [last, beyond] = up === 't' ? ['max', '>'] : ['min', '<'];
    const rows = await session.query(`SELECT setval(${quoteLiteral(sequence)}::regclass, m.last)
      FROM (SELECT ${last}(b.${quoteName(slot)})::int8 AS last FROM ${temp('work', table)} w
              JOIN ${temp('before', table)} b ON b.ctid = w.b
             WHERE ${isToDo('put', doing)} OR ${isToDo('set', doing)}) m, ${sequence} s
     WHERE m.last BETWEEN ${least} AND ${most}
       AND (m.last ${beyond} s.last_value OR (m.last = s.last_value AND NOT s.is_called))`);
    if (rows.length > 0) moved.push(`${schema}.${name}`);
  }
  return moved;
}

const DENIED = `SELECT n.nspname || '.' || q.relname FROM pg_class q JOIN pg_namespace n ON n.oid = q.relnamespace
 WHERE q.oid = ANY ($1::oid[]) AND NOT (${MOVABLE})`;

/** They are moved last, when all else is done. */
export async function refuseUnmovable(
  session: UndoSession,
  sequences: readonly ManifestSequence[],
): Promise<void> {
  if (sequences.length === 0) return;
  const denied = await session.query(DENIED, [`{${sequences.map(({ oid }) => oid).join(',')}}`]);
  const reason = 'this role may not SELECT and UPDATE there, and the statement has started the sequence anew';
  if (denied.length > 0) refuse(...denied.map(([name]) => ({ table: name!, reason })));
}

const NOW = `SELECT n.nspname, q.relname, s.seqincrement > 0 FROM pg_sequence s JOIN pg_class q ON q.oid = s.seqrelid
  JOIN pg_namespace n ON n.oid = q.relnamespace WHERE s.seqrelid = $1`;

/**
 * Moves sequences on to where they stood before the statement has started them anew, unless they are further by now:
 * what one has given since is never given twice. Those that are gone need nothing.
 */
export async function restoreSequences(
  session: UndoSession,
  sequences: readonly ManifestSequence[],
): Promise<readonly string[]> {
  const moved: string[] = [];
  for (const { oid, last_value, is_called: called } of sequences) {
    const last = `'${last_value}'::int8`;
    const [now] = await session.query(NOW, [String(oid)]);
    if (now === undefined) continue;
    const [schema, name, up] = now;
    const sequence = quoteQualified(schema!, name!);
    const rows = await session.query(`SELECT setval(${quoteLiteral(sequence)}::regclass, ${last}, ${called})
      FROM ${sequence} s WHERE ${last} ${up === 't' ? '>' : '<'} s.last_value
        OR (${last} = s.last_value AND ${called} AND NOT s.is_called)`);
    if (rows.length > 0) moved.push(`${schema}.${name}`);
  }
  return moved;
}
