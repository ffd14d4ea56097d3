import { afterAll, beforeAll } from 'vitest';
import { Parser } from '../../src/sql/parsing/parser.ts';
import type { MoveOutcome } from '../../src/trash/move.ts';
import { type RestoreOutcome, restoreDropped } from '../../src/trash/restore.ts';
import { onHidden } from '../../src/trash/session.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { alterWith } from './alter-judge.ts';

/** A database whose owner alters its tables, with what goes kept. */
export interface Altering {
  readonly postgres: TestPostgres;
  readonly client: RawClient;
  /** Begins anew, with this in it. */
  open(setup: string): Promise<void>;
  alter(sql: string): Promise<MoveOutcome>;
  restore(outcome: MoveOutcome, onConflict?: 'fail' | 'skip' | 'overwrite'): Promise<RestoreOutcome>;
}

/** Has it for the block that it is called in. */
export function altering(version: 15 | 18): Altering {
  let postgres: TestPostgres;
  let parser: Parser;
  let client: RawClient;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql('create role app login; create role reader');
    await postgres.sql('create database d owner app');
    client = await RawClient.open(postgres.port, { database: 'd', user: 'app' });
    parser = await Parser.create();
  });
  afterAll(async () => {
    await client?.terminate();
    await postgres?.stop();
  });
  return {
    get postgres() {
      return postgres;
    },
    get client() {
      return client;
    },
    async open(setup) {
      await client.rows('drop schema if exists public, other, holdfast_trash cascade; create schema public');
      await client.rows(setup);
    },
    alter: (sql) => alterWith(client, parser, sql),
    async restore(outcome, onConflict = 'fail') {
      if (outcome.kind !== 'moved') throw new Error(JSON.stringify(outcome));
      return await restoreDropped(onHidden(new HiddenClient(client)), outcome.moved, { onConflict });
    },
  };
}
