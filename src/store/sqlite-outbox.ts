import type { DatabaseSync } from 'node:sqlite';
import type { OutboxRow } from './control-store.ts';
import type { StoreCalls } from './sqlite-records.ts';

/**
 * What is to be told, to each webhook that is configured. Triggers write it in the transaction of what happened, so
 * that nothing happens of which nobody is told, and nobody is told of what did not.
 */
export const OUTBOX_SCHEMA = `
  create table webhooks (name text primary key) strict, without rowid;

  create table outbox (
    seq           integer primary key autoincrement,
    webhook       text not null,
    id            text not null,
    subject       text not null,
    event         text not null,
    created_at_ms real not null,
    body          text not null
  ) strict;
  create index outbox_by_webhook on outbox (webhook, seq);

  create trigger outbox_approval_requested after insert on approvals begin
    insert into outbox (webhook, id, subject, event, created_at_ms, body)
    select name, 'evt_' || lower(hex(randomblob(10))), new.id, 'approval.requested', new.created_at_ms,
           json_object('state', new.state, 'mode', new.mode, 'role', new.role, 'expires_at_ms', new.expires_at_ms,
                       'by', null, 'comment', null, 'body', new.body)
      from webhooks;
  end;

  create trigger outbox_approval_resolved after update of state on approvals when old.state <> new.state begin
    insert into outbox (webhook, id, subject, event, created_at_ms, body)
    select name, 'evt_' || lower(hex(randomblob(10))), new.id, 'approval.resolved',
           coalesce(new.resolved_at_ms, new.created_at_ms),
           json_object('state', new.state, 'mode', new.mode, 'role', new.role, 'expires_at_ms', new.expires_at_ms,
                       'by', new.resolved_by, 'comment', new.comment, 'body', new.body)
      from webhooks;
  end;

  create trigger outbox_restraint_begun after insert on restraints begin
    insert into outbox (webhook, id, subject, event, created_at_ms, body)
    select name, 'evt_' || lower(hex(randomblob(10))), new.id, new.kind || '.begun', new.created_at_ms,
           json_object('until_ms', new.until_ms, 'by', null, 'comment', null, 'body', new.body)
      from webhooks;
  end;

  create trigger outbox_restraint_lifted after update of lifted_at_ms on restraints
    when old.lifted_at_ms is null and new.lifted_at_ms is not null begin
    insert into outbox (webhook, id, subject, event, created_at_ms, body)
    select name, 'evt_' || lower(hex(randomblob(10))), new.id, new.kind || '.lifted', new.lifted_at_ms,
           json_object('until_ms', new.until_ms, 'by', new.lifted_by, 'comment', new.comment, 'body', new.body)
      from webhooks;
  end;
`;

/**
 * Each message waits for itself when it was not taken, so that one that is never taken keeps back no more than what comes
 * behind it of its own subject. Votes are told where one does not suffice.
 */
export const OUTBOX_TRIES_SCHEMA = `
  alter table outbox add column tries integer not null default 0;
  alter table outbox add column next_at_ms real not null default 0;
  create index outbox_by_subject on outbox (webhook, subject, seq);

  create trigger outbox_approval_voted after insert on approval_votes begin ${votedMessage('new.approval_id')} end;
  create trigger outbox_approval_revoted after update of verdict on approval_votes
    when old.verdict <> new.verdict begin ${votedMessage('new.approval_id')} end;
`;

/** Who votes is told apart as they are counted. */
export const OUTBOX_SUBJECTS_SCHEMA = `
  drop trigger outbox_approval_voted;
  drop trigger outbox_approval_revoted;
  create trigger outbox_approval_voted after insert on approval_votes begin ${votedMessage('new.approval_id', 'coalesce(v.subject, v.person, v.principal)')} end;
  create trigger outbox_approval_revoted after update of verdict on approval_votes
    when old.verdict <> new.verdict begin ${votedMessage('new.approval_id', 'coalesce(v.subject, v.person, v.principal)')} end;
`;

/** Which of those who vote are the same person is no matter of SQL: whoever counts them says it in the same transaction. */
export const OUTBOX_COUNTS_SCHEMA = `
  drop trigger outbox_approval_voted;
  drop trigger outbox_approval_revoted;
  create trigger outbox_approval_voted after insert on approval_votes begin ${votedMessage('new.approval_id', null)} end;
  create trigger outbox_approval_revoted after update of verdict on approval_votes
    when old.verdict <> new.verdict begin ${votedMessage('new.approval_id', null)} end;
`;

/** How many people have approved, in the messages that say nothing of it yet. */
export const COUNT_IN_OUTBOX = `update outbox set body = json_set(body, '$.approved', ?)
  where webhook in (select name from webhooks) and subject = ? and event = 'approval.voted'
    and json_extract(body, '$.approved') is null`;

function votedMessage(approvalId: string, who: string | null = 'coalesce(v.person, v.principal)'): string {
  const approved =
    who === null
      ? 'null'
      : `(select count(distinct ${who}) from approval_votes v where v.approval_id = a.id and v.verdict = 'approve')`;
  return `
    insert into outbox (webhook, id, subject, event, created_at_ms, body)
    select w.name, 'evt_' || lower(hex(randomblob(10))), a.id, 'approval.voted', new.at_ms,
           json_object('state', a.state, 'mode', a.mode, 'role', a.role, 'expires_at_ms', a.expires_at_ms,
                       'by', null, 'comment', new.comment, 'verdict', new.verdict, 'voted_by', new.principal,
                       'approved', ${approved},
                       'body', a.body)
      from webhooks w, approvals a
     where a.id = ${approvalId} and coalesce(json_extract(a.body, '$.approvalsNeeded'), 1) > 1;`;
}

type OutboxCalls = Pick<
  StoreCalls,
  'keepWebhooks' | 'outbox' | 'outboxDueMs' | 'retryOutbox' | 'deferOutbox' | 'deleteOutbox' | 'outboxSize'
>;

/** Of each subject the oldest. */
const HEADS = `from outbox o where webhook = ? and not exists (
  select 1 from outbox p where p.webhook = o.webhook and p.subject = o.subject and p.seq < o.seq)`;

export function outboxCalls(database: DatabaseSync): OutboxCalls {
  const add = database.prepare('insert into webhooks (name) values (?) on conflict do nothing');
  const known = database.prepare('select name from webhooks');
  const remove = database.prepare('delete from webhooks where name = ?');
  const empty = database.prepare('delete from outbox where webhook = ?');
  const read = database.prepare(`select * ${HEADS} and next_at_ms <= ? order by seq limit ?`);
  const due = database.prepare(`select min(next_at_ms) as ms ${HEADS}`);
  const retry = database.prepare(
    'update outbox set tries = 0, next_at_ms = 0 where webhook = ? and tries > 0',
  );
  const defer = database.prepare('update outbox set tries = tries + 1, next_at_ms = ? where seq = ?');
  const done = database.prepare('delete from outbox where seq = ?');
  const count = database.prepare('select count(*) as n from outbox');
  return {
    keepWebhooks(names) {
      for (const { name } of known.all()) {
        if (names.includes(String(name))) continue;
        remove.run(String(name));
        empty.run(String(name));
      }
      for (const name of names) add.run(name);
    },
    outboxDueMs(webhook) {
      const ms = due.get(webhook)?.['ms'] ?? null;
      return ms === null ? null : Number(ms);
    },
    retryOutbox(webhook) {
      retry.run(webhook);
    },
    deferOutbox(seq, untilMs) {
      defer.run(untilMs, seq);
    },
    outbox: (webhook, nowMs, limit) =>
      read.all(webhook, nowMs, limit).map(
        (row): OutboxRow => ({
          seq: Number(row['seq']),
          id: String(row['id']),
          subject: String(row['subject']),
          event: String(row['event']),
          createdAtMs: Number(row['created_at_ms']),
          tries: Number(row['tries']),
          body: String(row['body']),
        }),
      ),
    deleteOutbox(seqs) {
      for (const seq of seqs) done.run(seq);
    },
    outboxSize: () => Number(count.get()?.['n']),
  };
}
