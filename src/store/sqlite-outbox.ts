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

type OutboxCalls = Pick<StoreCalls, 'keepWebhooks' | 'outbox' | 'deleteOutbox' | 'outboxSize'>;

export function outboxCalls(database: DatabaseSync): OutboxCalls {
  const add = database.prepare('insert into webhooks (name) values (?) on conflict do nothing');
  const known = database.prepare('select name from webhooks');
  const remove = database.prepare('delete from webhooks where name = ?');
  const empty = database.prepare('delete from outbox where webhook = ?');
  const read = database.prepare('select * from outbox where webhook = ? order by seq limit ?');
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
    outbox: (webhook, limit) =>
      read.all(webhook, limit).map(
        (row): OutboxRow => ({
          seq: Number(row['seq']),
          id: String(row['id']),
          subject: String(row['subject']),
          event: String(row['event']),
          createdAtMs: Number(row['created_at_ms']),
          body: String(row['body']),
        }),
      ),
    deleteOutbox(seqs) {
      for (const seq of seqs) done.run(seq);
    },
    outboxSize: () => Number(count.get()?.['n']),
  };
}
