import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, SNAPSHOTS } from '../support/gateway.ts';
import { DATABASE, Pair, SERVERS } from './support.ts';

const target = (port: number) => ({ host: '127.0.0.1', port, user: 'postgres', database: DATABASE });

/** What a promise came to, as text. */
async function outcome(work: Promise<unknown>): Promise<string> {
  try {
    return JSON.stringify(await work);
  } catch (error) {
    const { code, message, severity } = error as Error & { code?: string; severity?: string };
    return `${severity} ${code} ${message}`;
  }
}

async function sessionOfPg(port: number): Promise<string[]> {
  const said: string[] = [];
  const pool = new pg.Pool({ ...target(port), max: 4 });
  try {
    await pool.query('create table t (id int primary key, name text, at timestamptz)');
    const sums = await Promise.all(
      Array.from({ length: 200 }, (_, i) => pool.query('select $1::int * 2 as n', [i])),
    );
    said.push(`pool ${sums.reduce((sum, result) => sum + result.rows[0].n, 0)}`);

    const client = await pool.connect();
    client.on('notice', (notice) => said.push(`notice ${notice.message}`));
    await client.query(`do $$ begin raise notice 'from a block'; end $$`);
    const insert = { name: 'insert', text: 'insert into t values ($1, $2, $3) returning *' };
    for (let i = 0; i < 5; i++) {
      const values = [i, `näme ${i}`, new Date(Date.UTC(2024, 1, i + 1))];
      said.push(`named ${await outcome(client.query({ ...insert, values }).then((result) => result.rows))}`);
    }
    said.push(`named ${await outcome(client.query({ ...insert, values: [1, null, null] }))}`);
    said.push(`several ${await outcome(client.query('select 1; select 2').then((r) => JSON.stringify(r)))}`);
    said.push(
      `array ${await outcome(client.query({ text: 'select 1, 2', rowMode: 'array' }).then((r) => r.rows))}`,
    );
    said.push(`empty ${await outcome(client.query('').then((r) => [r.command, r.rows]))}`);
    said.push(`syntax ${await outcome(client.query('selec'))}`);

    await client.query('begin');
    await client.query({ ...insert, values: [10, 'lost', null] });
    said.push(`in transaction ${await outcome(client.query('select $1::int / 0', [1]))}`);
    said.push(`aborted ${await outcome(client.query({ ...insert, values: [11, 'refused', null] }))}`);
    said.push(`commit ${await outcome(client.query('commit').then((r) => r.command))}`);
    await client.query('begin');
    await client.query({ ...insert, values: [12, 'kept', null] });
    await client.query('savepoint s');
    said.push(`savepoint ${await outcome(client.query({ ...insert, values: [12, 'again', null] }))}`);
    await client.query('rollback to s');
    await client.query('commit');
    said.push(`kept ${await outcome(client.query('select id from t order by id').then((r) => r.rows))}`);

    await client.query('listen news');
    const heard: string[] = [];
    const third = new Promise<void>((resolve) => {
      client.on('notification', ({ channel, payload }) => {
        if (heard.push(`${channel} ${payload}`) === 3) resolve();
      });
    });
    await pool.query(`select pg_notify('news', $1)`, ['one ✓']);
    await pool.query(`notify news, 'two'`);
    await client.query(`notify news, 'my own'`);
    await third;
    said.push(`heard ${heard.join(', ')}`);
    client.release();
  } finally {
    await pool.end();
  }

  // Queries of a client whose connection has gone fail, and say so.
  const doomed = new pg.Client(target(port));
  doomed.on('error', () => {});
  await doomed.connect();
  said.push(`terminated ${await outcome(doomed.query('select pg_terminate_backend(pg_backend_pid())'))}`);
  await doomed.end().catch(() => {});
  said.push(`no database ${await outcome(new pg.Client({ ...target(port), database: 'none' }).connect())}`);
  return said;
}

async function sessionOfPostgres(port: number): Promise<string[]> {
  const said: string[] = [];
  const sql = postgres({
    ...target(port),
    max: 3,
    onnotice: (notice) => said.push(`notice ${notice['message']}`),
  });
  try {
    await sql`create table t (id int primary key, name text, at timestamptz, tags text[])`;
    await sql`create table if not exists t (id int)`;
    const results = await Promise.all(Array.from({ length: 500 }, (_, i) => sql`select ${i}::int * 2 as n`));
    said.push(`pipelined ${results.reduce((sum, rows) => sum + rows[0]!['n'], 0)}`);

    const rows = Array.from({ length: 300 }, (_, id) => ({
      id,
      name: `näme ${id}`,
      at: new Date(Date.UTC(2024, 0, 1, id)),
      tags: ['a', `t${id}`],
    }));
    said.push(`inserted ${(await sql`insert into t ${sql(rows)} returning id`).length}`);
    said.push(`read ${JSON.stringify(await sql`select * from t where id in ${sql([3, 4])} order by id`)}`);
    const mixed = await Promise.all([
      outcome(sql`select 1 as fine`),
      outcome(sql`select 1 / ${0}::int`),
      outcome(sql`select * from nowhere`),
      outcome(sql`insert into t (id) values (${1})`),
      outcome(sql`select 2 as fine`),
      outcome(sql`selec`),
      outcome(sql`select count(*)::int from t`),
    ]);
    said.push(...mixed.map((line) => `mixed ${line}`));
    said.push(`simple ${await outcome(sql`select 1 as a; select 2 as b`.simple())}`);
    said.push(
      `described ${JSON.stringify((await sql`select id, name from t where id = ${1}`.describe()).types)}`,
    );

    let sum = 0;
    let batches = 0;
    for await (const batch of sql`select id from t order by id`.cursor(70)) {
      batches++;
      for (const row of batch) sum += row['id'];
    }
    said.push(`cursor ${batches} ${sum}`);
    const seen: number[] = [];
    await sql`select id from t order by id`.cursor(2, (batch) => {
      seen.push(...batch.map((row) => row['id']));
      return seen.length >= 6 ? sql.CLOSE : undefined;
    });
    said.push(`closed early ${seen.join()}`);

    const reserved = await sql.begin('isolation level serializable', async (tx) => {
      await tx`insert into t (id, name) values (1000, 'outer')`;
      said.push(`savepoint ${await outcome(tx.savepoint((sp) => sp`insert into t (id) values (1000)`))}`);
      await tx.savepoint((sp) => sp`insert into t (id) values (1001)`);
      // All of these are on the way before the first is answered.
      return await Promise.all([1, 2, 3].map((n) => tx`select ${n}::int as n`));
    });
    said.push(`transaction ${JSON.stringify(reserved)}`);
    const failed = sql.begin(async (tx) => {
      await tx`insert into t (id) values (2000)`;
      await tx`select 1 / 0`;
    });
    said.push(`rolled back ${await outcome(failed)}`);
    said.push(`kept ${JSON.stringify(await sql`select id from t where id >= 1000 order by id`)}`);

    const lines = Array.from({ length: 20_000 }, (_, i) => `${i + 5000}\tcopied ${i}\n`);
    const into = await sql`copy t (id, name) from stdin`.writable();
    await pipeline(Readable.from(lines), into);
    const out = await sql`copy (select id, name from t order by id) to stdout`.readable();
    let bytes = 0;
    out.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await once(out, 'end');
    said.push(`copied ${(await sql`select count(*)::int from t`)[0]!['count']} ${bytes}`);

    const heard: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const listening = await sql.listen('news', (payload) => {
      if (heard.push(payload) === 2) resolve();
    });
    await sql.notify('news', 'one ✓');
    await sql.notify('news', 'two');
    await promise;
    await listening.unlisten();
    said.push(`heard ${heard.join(', ')}`);

    const sleeping = sql`select pg_sleep(30)`;
    setTimeout(() => sleeping.cancel(), 300);
    said.push(`cancelled ${await outcome(sleeping.execute())}`);
    said.push(`alive ${await outcome(sql`select 'yes' as alive`)}`);
  } finally {
    await sql.end({ timeout: 5 });
  }
  return said;
}

describe.each(SERVERS)("Node's drivers with $name", (server) => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start(server);
  });
  afterAll(async () => await pair?.stop());

  it('pg sees no difference', async () => {
    const said = await pair.same(sessionOfPg);
    expect(said).toContain('heard news one ✓, news two, news my own');
    expect(said.join('\n')).not.toMatch(/undefined undefined/);
  });

  it('postgres sees no difference', async () => {
    const said = await pair.same(sessionOfPostgres);
    expect(said).toContain('heard one ✓, two');
    expect(said).toContain('alive [{"alive":"yes"}]');
  });
});

describe.each(SERVERS)("Node's drivers with the default policy and $name", (server) => {
  it('work unhindered where nothing is destroyed', async () => {
    const pair = await Pair.start(server, DEFAULT_POLICY, SNAPSHOTS);
    try {
      await pair.same(async (port) => {
        const client = new pg.Client(target(port));
        await client.connect();
        await client.query('create table smoke (id int primary key, name text)');
        await client.query({ name: 'i', text: 'insert into smoke values ($1, $2)', values: [1, 'one'] });
        await client.query({
          name: 'u',
          text: 'update smoke set name = $2 where id = $1',
          values: [1, 'uno'],
        });
        const read = await client.query('select * from smoke');
        await client.end();
        const sql = postgres(target(port));
        const counts = await Promise.all(
          [1, 2, 3].map((id) => sql`insert into smoke values (${id + 1}, 'p')`),
        );
        const all = await sql`select * from smoke order by id`;
        await sql.end();
        return [read.rows, counts.map((result) => result.count), [...all]];
      });
    } finally {
      await pair.stop();
    }
  });
});
