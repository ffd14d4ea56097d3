import { APPROVAL_TEXTS_SCHEMA } from './sqlite-approval-texts.ts';
import { APPROVALS_DDL } from './sqlite-approvals.ts';
import {
  OUTBOX_COUNTS_SCHEMA,
  OUTBOX_SCHEMA,
  OUTBOX_SUBJECTS_SCHEMA,
  OUTBOX_TRIES_SCHEMA,
} from './sqlite-outbox.ts';
import { PREVIEWS_SCHEMA, ROW_SETS_SCHEMA } from './sqlite-previews.ts';
import { RESTRAINTS_SCHEMA } from './sqlite-restraints.ts';
import {
  MAKER_HASHES_SCHEMA,
  MAKERS_SCHEMA,
  PERSONS_SCHEMA,
  PRINCIPALS_SCHEMA,
  SUBJECTS_SCHEMA,
} from './sqlite-tokens.ts';

/** Marks the file as Holdfast's, in the header where `file(1)` and others look for it: "HFST". */
export const APPLICATION_ID = 0x48465354;

/**
 * The schema, a step each, run in order and never changed once released. The number of steps taken is the
 * file's `user_version`.
 */
export const MIGRATIONS: readonly string[] = [
  `
  create table meta (
    key   text primary key,
    value text not null
  ) strict, without rowid;

  create table audit_blocks (
    first_seq     integer primary key,
    last_seq      integer not null,
    first_time_ms real    not null,
    last_time_ms  real    not null,
    raw_bytes     integer not null,
    encoding      text    not null check (encoding in ('raw', 'zstd')),
    bytes         blob    not null
  ) strict;

  create table audit_open (
    id    integer primary key,
    bytes blob not null
  ) strict;

  create table approvals (
    id             text primary key,
    state          text not null,
    created_at_ms  real not null,
    resolved_at_ms real,
    resolved_by    text,
    comment        text,
    body           text not null
  ) strict, without rowid;
  create index approvals_by_state on approvals (state, id);

  create table tokens (
    name          text primary key,
    sha256        text not null,
    scopes        text not null,
    created_at_ms real not null,
    expires_at_ms real
  ) strict, without rowid;
  `,
  // Rows of before have no hash, and are not chained.
  `
  alter table audit_blocks add column hash blob check (length(hash) = 32);

  create table signed_heads (
    sequence   integer not null,
    hash       blob    not null,
    time       text    not null,
    key_id     text    not null,
    public_key blob    not null,
    signature  blob    not null,
    anchored   integer not null default 0,
    primary key (sequence, key_id, hash)
  ) strict;
  `,
  // One row, or none.
  `
  create table audit_cut (
    only       integer primary key check (only = 1),
    sequence   integer not null,
    hash       blob    not null,
    time       text    not null,
    key_id     text    not null,
    public_key blob    not null,
    signature  blob    not null
  ) strict;
  `,
  RESTRAINTS_SCHEMA,
  // Hashes were those of events, and are those of blocks: what was chained before is kept, and is not chained.
  `
  update audit_blocks set hash = null;
  delete from signed_heads;
  delete from audit_cut;
  `,
  APPROVALS_DDL,
  PRINCIPALS_SCHEMA,
  PREVIEWS_SCHEMA,
  OUTBOX_SCHEMA,
  PERSONS_SCHEMA,
  MAKERS_SCHEMA,
  APPROVAL_TEXTS_SCHEMA,
  OUTBOX_TRIES_SCHEMA,
  MAKER_HASHES_SCHEMA,
  SUBJECTS_SCHEMA + OUTBOX_SUBJECTS_SCHEMA,
  OUTBOX_COUNTS_SCHEMA,
  ROW_SETS_SCHEMA,
];
