import type { DatabaseSync, SQLOutputValue } from 'node:sqlite';
import { LIMITS } from '../base/limits.ts';
import {
  type ApprovalPage,
  type ApprovalResolution,
  type ApprovalRow,
  type ApprovalVote,
  type ApprovalVoteRow,
  PENDING,
  type ResolvedApproval,
} from './control-store.ts';
import { countPeople } from './people.ts';
import { approvalTexts } from './sqlite-approval-texts.ts';
import { COUNT_IN_OUTBOX } from './sqlite-outbox.ts';
import type { StoreCalls } from './sqlite-records.ts';

/** Rows of before have no key: nothing can be run on them any more. */
export const APPROVALS_DDL = `
  alter table approvals add column mode           text not null default 'live';
  alter table approvals add column role           text not null default '';
  alter table approvals add column expires_at_ms  real;
  alter table approvals add column binding_key    text;
  alter table approvals add column terms          text;
  alter table approvals add column grant_until_ms real;
  alter table approvals add column consumed_at_ms real;
  alter table approvals add column consumed_by    text;
  create index approvals_by_key on approvals (binding_key, id) where binding_key is not null;

  create table approval_votes (
    approval_id text not null,
    principal   text not null,
    verdict     text not null check (verdict in ('approve', 'deny')),
    at_ms       real not null,
    comment     text,
    break_glass integer not null default 0,
    primary key (approval_id, principal)
  ) strict, without rowid;
`;

type ApprovalCalls = Pick<
  StoreCalls,
  | 'insertApproval'
  | 'approvalText'
  | 'resolveApproval'
  | 'voteApproval'
  | 'consumeGrant'
  | 'detachApprovals'
  | 'approval'
  | 'approvals'
  | 'approvalsOfKey'
  | 'dropApprovals'
>;

type Row = Record<string, SQLOutputValue>;

/** No identifier sorts after this one. */
const LAST_ID = '\u{10ffff}';

export function approvalCalls(database: DatabaseSync): ApprovalCalls {
  const reads = approvalReads(database);
  return {
    ...reads,
    ...approvalWrites(database, reads),
    ...voteCalls(database, reads),
    ...dropCalls(database),
  };
}

type Reads = Pick<ApprovalCalls, 'approval' | 'approvals' | 'approvalsOfKey'>;

/**
 * For lists, whose statements are cut: so it is here, beside the thread that everybody waits for, that long ones are read.
 * Where nobody knows how long the whole is, nobody could tell that it is cut.
 */
const BRIEF = `select *, case when length(body) > ${LIMITS.approvalListChars} and json_valid(body)
    and json_extract(body, '$.statementBytes') is not null
  then json_set(body, '$.statementEnd', '', '$.statement',
    substr(json_extract(body, '$.statement'), 1, ${LIMITS.approvalListChars})) end as brief
  from approvals`;

function approvalReads(database: DatabaseSync): Reads {
  const one = database.prepare('select * from approvals where id = ?');
  const all = database.prepare(`${BRIEF} where id < ? order by id desc limit ?`);
  const inState = database.prepare(`${BRIEF} where state = ? and id < ? order by id desc limit ?`);
  // The oldest of each role, then the second of each: no role's many keep those of others from being seen.
  const spread = database.prepare(
    `${BRIEF} where id in (
       select id from (
         select id, row_number() over (partition by role order by id) as turn
           from approvals where state = ? and id < ?
       ) order by turn, id limit ?)
     order by id desc`,
  );
  const ofKey = database.prepare('select * from approvals where binding_key = ? order by id desc limit ?');
  const votes = database.prepare('select * from approval_votes where approval_id = ? order by at_ms');
  const read = (row: Row): ApprovalRow => approvalRow(row, votes.all(String(row['id'])).map(voteRow));
  return {
    approval(id: string): ApprovalRow | null {
      const row = one.get(id);
      return row === undefined ? null : read(row);
    },
    approvals({ state, beforeId, limit, spread: isSpread }: ApprovalPage): readonly ApprovalRow[] {
      const before = beforeId ?? LAST_ID;
      if (isSpread === true) return spread.all(state, before, limit).map(read);
      return (state === null ? all.all(before, limit) : inState.all(state, before, limit)).map(read);
    },
    approvalsOfKey: (key, limit) => ofKey.all(key, limit).map(read),
  };
}

function approvalWrites(
  database: DatabaseSync,
  { approval }: Reads,
): Omit<ApprovalCalls, keyof Reads | 'voteApproval' | 'dropApprovals'> {
  const texts = approvalTexts(database);
  const insert = database.prepare(
    `insert into approvals (id, state, mode, role, created_at_ms, expires_at_ms, resolved_at_ms, resolved_by, comment,
       binding_key, terms, grant_until_ms, consumed_at_ms, consumed_by, body)
     values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const same = database.prepare(
    `select id from approvals where binding_key = ? and terms = ? and state = '${PENDING}' and mode = 'ticket'
       and expires_at_ms > ? order by id desc limit 1`,
  );
  const resolve = database.prepare(
    `update approvals set state = ?, resolved_at_ms = ?, resolved_by = ?, comment = ?
     where id = ? and state = '${PENDING}'`,
  );
  const forget = database.prepare('delete from approval_previews where approval_id = ?');
  const consume = database.prepare(
    `update approvals set consumed_at_ms = ?, consumed_by = ?
     where id = ? and state = 'approved' and consumed_at_ms is null and grant_until_ms > ?`,
  );
  const abandon = database.prepare(
    `update approvals set state = 'abandoned', resolved_at_ms = ?
     where state = '${PENDING}' and binding_key is null`,
  );
  const detach = database.prepare(
    `update approvals set mode = 'ticket' where state = '${PENDING}' and mode = 'live'`,
  );
  return {
    insertApproval(row: ApprovalRow, text: string | null = null): ApprovalRow {
      const isTicket = row.mode === 'ticket' && row.bindingKey !== null;
      const found = isTicket ? same.get(row.bindingKey, row.terms, row.createdAtMs) : undefined;
      if (found !== undefined) return approval(String(found['id']))!;
      const { id, state, mode, role, createdAtMs, expiresAtMs, resolvedAtMs, resolvedBy, comment } = row;
      const { bindingKey, terms, grantUntilMs, consumedAtMs, consumedBy, body } = row;
      insert.run(
        ...[id, state, mode, role, createdAtMs, expiresAtMs, resolvedAtMs, resolvedBy, comment],
        ...[bindingKey, terms, grantUntilMs, consumedAtMs, consumedBy, body],
      );
      if (text !== null) texts.keep(id, text);
      return row;
    },
    approvalText: (id) => texts.of(id),
    resolveApproval(id: string, to: ApprovalResolution): ResolvedApproval | null {
      const changed = resolve.run(to.state, to.atMs, to.by, to.comment, id).changes === 1;
      // Nobody decides any more what the client itself has given up.
      if (changed && (to.state === 'canceled' || to.state === 'disconnected')) {
        forget.run(id);
        texts.forget(id);
      }
      const row = approval(id);
      return row === null ? null : { changed, row };
    },
    consumeGrant: (id, atMs, by) => consume.run(atMs, by, id, atMs).changes === 1,
    detachApprovals(atMs: number): { detached: number; abandoned: number } {
      const abandoned = Number(abandon.run(atMs).changes);
      return { abandoned, detached: Number(detach.run().changes) };
    },
  };
}

function voteCalls(database: DatabaseSync, { approval }: Reads): Pick<ApprovalCalls, 'voteApproval'> {
  const insert = database.prepare(
    `insert into approval_votes (approval_id, principal, person, subject, verdict, at_ms, comment, break_glass)
     values (?, ?, ?, ?, ?, ?, ?, ?)
     on conflict (approval_id, principal) do update
       set verdict = excluded.verdict, at_ms = excluded.at_ms, comment = excluded.comment,
           break_glass = excluded.break_glass
     where approval_votes.verdict <> excluded.verdict or excluded.break_glass > approval_votes.break_glass`,
  );
  const resolve = database.prepare(
    `update approvals set state = ?, resolved_at_ms = ?, resolved_by = ?, comment = ?, grant_until_ms = ?,
       consumed_at_ms = ?, consumed_by = ? where id = ?`,
  );
  const shownAt = database.prepare(
    `select json_extract(body, '$.computed_at') as at from approval_previews where approval_id = ?`,
  );
  const tellCount = database.prepare(COUNT_IN_OUTBOX);
  return {
    voteApproval(vote: ApprovalVote): ResolvedApproval | null {
      const { approvalId, principal, person, subject, verdict, atMs, comment, breakGlass } = vote;
      const before = approval(approvalId);
      if (before === null) return null;
      const isOpen = before.state === PENDING && (before.expiresAtMs ?? Number.POSITIVE_INFINITY) > atMs;
      if (!isOpen) return { changed: false, row: before };
      if (vote.lookedAt !== null && shownAt.get(approvalId)?.['at'] !== vote.lookedAt)
        return { changed: false, row: before, isStale: true };
      insert.run(approvalId, principal, person, subject, verdict, atMs, comment, breakGlass ? 1 : 0);
      const { votes } = approval(approvalId)!;
      const given = votes.filter((each) => each.verdict === 'approve');
      const people = countPeople(given);
      tellCount.run(people, approvalId);
      if (verdict === 'deny') {
        resolve.run('denied', atMs, principal, comment, null, null, null, approvalId);
      } else if (breakGlass || people >= vote.needed) {
        // Whoever waits for it runs it now; a ticket may be run later, once.
        const isTicket = before.mode === 'ticket';
        const { by, comment: said } = joined(given);
        const until = atMs + vote.grantMs;
        const used = isTicket ? ([null, null] as const) : ([atMs, vote.session] as const);
        resolve.run('approved', atMs, by, said, until, ...used, approvalId);
      }
      const row = approval(approvalId)!;
      return { changed: row.state !== PENDING, row };
    },
  };
}

/** What is kept of an approval, in whatever tables. */
const PARTS = ['approval_votes', 'approval_previews', 'approval_texts'];

function dropCalls(database: DatabaseSync): Pick<ApprovalCalls, 'dropApprovals'> {
  const over = database.prepare(
    `select id from approvals
      where state <> '${PENDING}' and coalesce(resolved_at_ms, created_at_ms) < ?1
        and coalesce(grant_until_ms, 0) < ?1 and coalesce(consumed_at_ms, 0) < ?1
      order by id limit ?2`,
  );
  const drops = [
    ...PARTS.map((table) => database.prepare(`delete from ${table} where approval_id = ?`)),
    database.prepare('delete from approvals where id = ?'),
  ];
  return {
    dropApprovals(beforeMs, limit) {
      const ids = over.all(beforeMs, limit).map((row) => String(row['id']));
      for (const id of ids) for (const drop of drops) drop.run(id);
      return ids.length;
    },
  };
}

function joined(votes: readonly ApprovalVoteRow[]): { by: string; comment: string | null } {
  const comments = votes.flatMap(({ comment }) => (comment === null ? [] : [comment]));
  return {
    by: votes.map(({ principal }) => principal).join(', '),
    comment: comments.length === 0 ? null : comments.join('; '),
  };
}

function approvalRow(row: Row, votes: readonly ApprovalVoteRow[]): ApprovalRow {
  return {
    id: String(row['id']),
    state: String(row['state']),
    mode: String(row['mode']),
    role: String(row['role']),
    createdAtMs: Number(row['created_at_ms']),
    expiresAtMs: numberOrNull(row['expires_at_ms']),
    resolvedAtMs: numberOrNull(row['resolved_at_ms']),
    resolvedBy: textOrNull(row['resolved_by']),
    comment: textOrNull(row['comment']),
    bindingKey: textOrNull(row['binding_key']),
    terms: textOrNull(row['terms']),
    grantUntilMs: numberOrNull(row['grant_until_ms']),
    consumedAtMs: numberOrNull(row['consumed_at_ms']),
    consumedBy: textOrNull(row['consumed_by']),
    votes,
    body: String(row['brief'] ?? row['body']),
  };
}

function voteRow(row: Row): ApprovalVoteRow {
  return {
    approvalId: String(row['approval_id']),
    principal: String(row['principal']),
    person: String(row['person'] ?? row['principal']),
    subject: textOrNull(row['subject']),
    verdict: row['verdict'] === 'deny' ? 'deny' : 'approve',
    atMs: Number(row['at_ms']),
    comment: textOrNull(row['comment']),
    breakGlass: row['break_glass'] === 1,
  };
}

function numberOrNull(value: SQLOutputValue | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}

function textOrNull(value: SQLOutputValue | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}
