import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_POLICY, SNAPSHOTS } from '../support/gateway.ts';
import { scratchFolder } from '../support/postgres.ts';
import { eventually } from '../support/process-facts.ts';
import { clientProgram, connectionArguments, DATABASE, output, Pair, psql, run, SERVERS } from './support.ts';

/** Tables with most of what a dump has to carry. */
const SCHEMA = `
create type mood as enum ('sad', 'glad');
create table customer (id int generated always as identity primary key, name text not null unique, mood mood default 'glad');
create table "Order" (id bigserial primary key, customer_id int references customer on delete cascade,
  total numeric(12, 2) check (total >= 0), note text, made timestamptz default '2024-02-29 12:00Z', raw bytea);
create index on "Order" (made desc) where total > 10;
create view totals as select customer_id, sum(total) as total from "Order" group by 1;
create materialized view names as select name from customer;
create function touch() returns trigger language plpgsql as $$ begin new.note := coalesce(new.note, ''); return new; end $$;
create trigger touch before insert or update on "Order" for each row execute function touch();
comment on table customer is 'who pays; "quoted" ''text'' ünïcode';
insert into customer (name) select 'customer ' || i from generate_series(1, 200) i;
insert into "Order" (customer_id, total, note, raw)
  select i % 200 + 1, i / 7.0, case i % 3 when 0 then E'tab\\t, line\\n, back\\\\slash, \\u20ac' end, decode(md5(i::text), 'hex')
    from generate_series(1, 5000) i;
refresh materialized view names;
`;

const script = (folder: string) => String.raw`
${SCHEMA}
\d customer
\d+ "Order"
\dT+ mood
\df touch
\sf touch
\l clients
\copy (select * from "Order" order by id limit 1000) to '${folder}/orders.csv' csv header
create table copied (like "Order");
\copy copied from '${folder}/orders.csv' csv header
\copy copied (id, note) from stdin
7000	inline
7001	\N
\.
select count(*), sum(total), count(note) from copied;
\copy copied from '${folder}/none.csv'
\copy copied (id) from stdin
1
two
\.
copy (select id, name from customer order by id limit 3) to stdout;
select id, name, mood from customer where id < 4 \gdesc
select format('select %s as made', i) from generate_series(1, 3) i \gexec
select 1 as one, null as nothing \gx
select 'kept' as word \gset
\echo :word
select id, total from "Order" where id in (7, 14) order by id \g (format=csv) '${folder}/out.csv'
select id % 2 as odd, mood, count(*) from customer group by 1, 2 order by 1 \crosstabview
select 1/0;
\errverbose
selec;
select * from nowhere;
insert into customer (name) values ('customer 1');
select 1 \; select 2 \; select 1/0 \; select 3;
begin;
insert into customer (name) values ('lost');
select * from nowhere;
select 1;
commit;
\set ON_ERROR_ROLLBACK on
begin;
insert into customer (name) values ('kept');
select * from nowhere;
commit;
select name from customer where name in ('lost', 'kept');
\set FETCH_COUNT 100
select sum(length(note)) over (), id from "Order" order by id limit 250;
\unset FETCH_COUNT
do $$ begin raise notice 'a notice'; raise warning 'a warning' using hint = 'a hint', detail = 'a detail'; end $$;
set client_encoding = 'LATIN1';
select 'ü' as latin;
set client_encoding = 'UTF8';
prepare p (int) as select $1 + 1 as n;
execute p (41);
explain (costs off) select * from customer where id = 1;
\lo_import '${folder}/orders.csv'
select count(*) from pg_largeobject_metadata;
\lo_list
\c
select current_database(), :'word';
\c none
`;

const dump = async (port: number, database: string, ...options: string[]) =>
  await output(clientProgram('pg_dump'), [...connectionArguments(port), ...options, database]);
/** Newer minor releases put a random key there. */
const stable = (text: string) => text.replace(/^\\(un)?restrict .*$/gm, '');

describe.each(SERVERS)('psql with $name', (server) => {
  let pair: Pair;
  let folder: string;
  beforeAll(async () => {
    pair = await Pair.start(server);
    folder = await scratchFolder('psql');
  });
  afterAll(async () => {
    await pair?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('sees no difference', async () => {
    const said = await pair.same(async (port) => {
      const files = join(folder, 'files');
      rmSync(files, { recursive: true, force: true });
      mkdirSync(files);
      const { code, stdout, stderr } = await psql(port, [], { input: script(files) });
      const hidden = (text: string) =>
        text
          .replaceAll(String(port), 'PORT')
          .replace(/^lo_import \d+$/m, 'lo_import OID')
          .replace(/^ *\d+ (\| postgres)/gm, 'OID $1');
      const written = ['orders.csv', 'out.csv'].map((name) => readFileSync(join(files, name), 'utf8'));
      return { code, stdout: hidden(stdout).split('\n'), stderr: hidden(stderr).split('\n'), written };
    });
    expect(said.stdout).toContain('kept');
    expect(said.stderr.join('\n')).toMatch(/invalid input syntax for type bigint: "two"/);
  });

  it('is cancelled by Ctrl-C', async () => {
    const said = await pair.same(async (port) => {
      const commands = ['select 1 as before', 'select pg_sleep(60)', `create table after ()`];
      let interrupted: Promise<void> = Promise.resolve();
      const { code, stdout, stderr } = await psql(
        port,
        commands.flatMap((command) => ['-c', command]),
        {
          started: (pid) => {
            interrupted = eventually('psql sleeps', async () => {
              const rows = await pair.postgres.sql(
                `select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and wait_event = 'PgSleep'`,
              );
              return rows[0]![0] === '1' ? null : 'not asleep';
            }).then(() => {
              process.kill(pid, 'SIGINT');
            });
          },
          deadlineMs: 20_000,
        },
      );
      await interrupted;
      const after = await pair.postgres.sql(`select to_regclass('after') is not null`, DATABASE);
      return { code, stdout, stderr, after };
    });
    expect(said.stderr).toContain('ERROR:  canceling statement due to user request');
  });

  // pg_dump refuses servers newer than itself.
  it.runIf(server.version === 15)('loads what pg_dump saves', async () => {
    await pair.freshDatabase();
    await output(
      clientProgram('psql'),
      ['-X', '-q', '-v', 'ON_ERROR_STOP=1', ...connectionArguments(pair.postgres.port), DATABASE],
      {
        input: SCHEMA,
      },
    );
    for (const options of [
      [],
      ['--inserts', '--rows-per-insert=100'],
      ['--clean', '--if-exists', '--create'],
    ]) {
      const direct = await dump(pair.postgres.port, DATABASE, ...options);
      const through = await dump(pair.gateway.port, DATABASE, ...options);
      expect(stable(through)).toBe(stable(direct));
      const own = options.includes('--create');
      if (!own) await pair.postgres.sql('create database restored');
      const name = own ? DATABASE : 'restored';
      const restored = await run(
        clientProgram('psql'),
        [
          '-X',
          '-q',
          '-v',
          'ON_ERROR_STOP=1',
          ...connectionArguments(pair.gateway.port),
          own ? 'postgres' : name,
        ],
        { input: through },
      );
      expect(restored).toMatchObject({ code: 0, stderr: '' });
      expect(stable(await dump(pair.gateway.port, name, ...options))).toBe(stable(direct));
      if (!own) await pair.postgres.sql('drop database restored');
    }
  });
});

/** What the default policy has a person look at, because no snapshot undoes it: a trigger runs unasked later. */
const TRIGGER = /^create trigger .*$/m;

describe.each(SERVERS)('psql with the default policy and $name', (server) => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await Pair.start(server, DEFAULT_POLICY, SNAPSHOTS);
  });
  afterAll(() => pair?.stop());

  it('works unhindered where nothing is destroyed', async () => {
    const said = await pair.same(async (port) => {
      const input = `${SCHEMA.replace(TRIGGER, '')}\n\\d+ "Order"\nupdate customer set mood = 'sad' where id = 1;\ndelete from customer where id = 2;\ntable totals order by 1 limit 5;\n`;
      const { code, stdout, stderr } = await psql(port, ['-v', 'ON_ERROR_STOP=1'], { input });
      return { code, stdout: stdout.split('\n'), stderr };
    });
    expect(said).toMatchObject({ code: 0, stderr: '' });
  });

  // Debian's pg_dump saves no server that is newer than it is.
  it.runIf(server.version === 15)('saves what that has left', async () => {
    const [direct, through] = [pair.postgres.port, pair.gateway.port];
    const saved = stable(await dump(through, DATABASE));
    expect(saved).toContain('customer 3\tglad');
    expect(saved).toBe(stable(await dump(direct, DATABASE)));
  });
});
