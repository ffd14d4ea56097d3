import type { DatabaseSync } from 'node:sqlite';
import type { RestraintRow } from './control-store.ts';
import type { StoreCalls } from './sqlite-records.ts';

/** Those that are over stay, as the audit's second witness. */
export const RESTRAINTS_SCHEMA = `
  create table restraints (
    id            text primary key,
    kind          text not null,
    created_at_ms real not null,
    until_ms      real,
    lifted_at_ms  real,
    lifted_by     text,
    comment       text,
    body          text not null
  ) strict, without rowid;
  create index restraints_in_force on restraints (id) where lifted_at_ms is null;
`;

type RestraintCalls = Pick<StoreCalls, 'insertRestraint' | 'liftRestraint' | 'restraints'>;

export function restraintCalls(database: DatabaseSync): RestraintCalls {
  const insert = database.prepare(
    // One that was stored, and of which that is not known, comes again.
    'insert into restraints (id, kind, created_at_ms, until_ms, body) values (?, ?, ?, ?, ?) on conflict do nothing',
  );
  const lift = database.prepare(
    'update restraints set lifted_at_ms = ?, lifted_by = ?, comment = ? where id = ? and lifted_at_ms is null',
  );
  const all = database.prepare(
    'select * from restraints where lifted_at_ms is null and (until_ms is null or until_ms > ?) order by id',
  );
  return {
    insertRestraint({ id, kind, createdAtMs, untilMs, body }) {
      insert.run(id, kind, createdAtMs, untilMs, body);
    },
    liftRestraint(id, { atMs, by, comment }) {
      lift.run(atMs, by, comment, id);
    },
    restraints: (nowMs) =>
      all.all(nowMs).map(
        (row): RestraintRow => ({
          id: String(row['id']),
          kind: String(row['kind']),
          createdAtMs: Number(row['created_at_ms']),
          untilMs: row['until_ms'] === null ? null : Number(row['until_ms']),
          body: String(row['body']),
        }),
      ),
  };
}
