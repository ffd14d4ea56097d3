import type { HiddenConnection } from '../catalog/connection.ts';
import type { OwnerChange } from '../sql/named/owner-change.ts';
import { type MoveOutcome, orAsBefore } from './move.ts';
import { pinned } from './queries.ts';
import { json, type TrashSession } from './session.ts';
import { runDrop } from './trial.ts';

interface Owned {
  readonly oid: number;
  readonly owner: string;
  /** It is the role's that asks. */
  readonly mine: boolean;
}

/** Whose the object of the kind $1 and the name $2 is, in whatever search_path there is; null where there is none. */
const OWNED = pinned(`
SELECT pg_catalog.jsonb_build_object('oid', o.oid::int8, 'owner', pg_catalog.pg_get_userbyid(o.owner),
    'mine', pg_catalog.pg_get_userbyid(o.owner) OPERATOR(pg_catalog.=) current_user)::text
  FROM (
    SELECT c.oid, c.relowner FROM pg_class c
     WHERE $1::text OPERATOR(pg_catalog.=) 'relation' AND c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($2::text)::oid
    UNION ALL
    SELECT t.oid, t.typowner FROM pg_type t
     WHERE $1::text OPERATOR(pg_catalog.=) 'type' AND t.oid OPERATOR(pg_catalog.=) pg_catalog.to_regtype($2::text)::oid
    UNION ALL
    SELECT n.oid, n.nspowner FROM pg_namespace n
     WHERE $1::text OPERATOR(pg_catalog.=) 'schema' AND n.oid OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace($2::text)::oid
    UNION ALL
    SELECT l.oid, l.lomowner FROM pg_largeobject_metadata l
     WHERE $1::text OPERATOR(pg_catalog.=) 'large object' AND l.oid::text OPERATOR(pg_catalog.=) $2::text
    UNION ALL
    SELECT p.oid, p.proowner FROM pg_proc p
     WHERE p.oid OPERATOR(pg_catalog.=) CASE
       WHEN $1::text OPERATOR(pg_catalog.=) 'routine' THEN pg_catalog.to_regprocedure($2::text)::oid
       WHEN $1::text OPERATOR(pg_catalog.=) 'only routine' THEN pg_catalog.to_regproc($2::text)::oid END
  ) o(oid, owner)`);

const NOTHING_GIVEN = 'it takes rights from nobody but the role that gives them';

/**
 * Lets OWNER TO run where the owner was the role itself, or stays who it was: nobody else loses any right, and whoever gives
 * to a role has to be a member of it, and may take it back. Otherwise there is nothing that would tell who the owner was.
 */
export async function changeOwner(
  connection: HiddenConnection,
  { text, owned }: { readonly text: string; readonly owned: OwnerChange },
): Promise<MoveOutcome> {
  return await orAsBefore(connection, async (session) => {
    const before = await ownedBy(session, owned);
    const run = await runDrop(connection, session, text, []);
    if (run.kind === 'refused') return run;
    const after = await ownedBy(session, owned);
    if (before === null || after?.oid !== before.oid)
      return { kind: 'none', reason: 'the catalog does not tell whose it was' };
    if (!before.mine && before.owner !== after.owner)
      return {
        kind: 'none',
        reason: `it takes the rights of the owner, ${before.owner}, who would not be told`,
      };
    return { kind: 'harmless', why: NOTHING_GIVEN, tag: run.tag, notices: run.notices };
  });
}

async function ownedBy(session: TrashSession, { kind, name }: OwnerChange): Promise<Owned | null> {
  return await json<Owned | null>(session, OWNED, [kind, name]);
}
