import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quoteQualified } from '../../src/catalog/quote.ts';
import { readTableCode } from '../../src/catalog/table-code.ts';
import { HiddenClient } from '../support/hidden-client.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';

const SETUP = `
create function touch() returns trigger language plpgsql as $$ begin new.at = now(); return new; end $$;
create function shelf() returns trigger language plpgsql as
  $$ begin perform set_config('search_path', 'evil', false); return new; end $$;
create function hushed() returns trigger language plpgsql as
  $$ begin new.id = unknown /* a comment in between */ (1); return new; end $$;
create function given() returns trigger language plpgsql as $$ begin execute 'deallocate s'; return new; end $$;
create function one() returns int language sql as 'select 1';
create function same(int) returns int immutable language sql as 'select 1';
create function below(int, int) returns bool immutable language sql as 'select true';
create operator <<<< (leftarg = int, rightarg = int, function = below);

create table plain (id int primary key, at timestamptz default now(), n int generated always as identity, s serial,
  check (id > 0));
create index on plain (abs(id));
create table touched (id int, at timestamptz);
create trigger t before update on touched for each row execute function touch();
create table disabled (id int);
create trigger t before insert on disabled for each row execute function shelf();
alter table disabled disable trigger t;
create table trapped (id int);
create trigger t before insert on trapped for each row execute function shelf();
create table commented (id int);
create trigger t before insert on commented for each row execute function hushed();
create table naming (id int);
create trigger t before insert on naming for each row execute function given();
create table defaulted (id int default one());
create table checked (id int check (one() > id));
create table compared (id int check (id <<<< 1));
create domain small as int check (one() > value);
create table domained (id small);
create table indexed (id int);
create index on indexed (same(id));
create table guarded (id int);
create policy p on guarded using (one() = 1);
create table parent (id int primary key);
create table child (id int references parent on delete cascade);
create trigger t before delete on child for each row execute function shelf();
create table parted (id int) partition by list (id);
create table part partition of parted for values in (1);
create trigger t before insert on part for each row execute function shelf();
create table ruled (id int);
create rule r as on insert to ruled do also select 1;
create view seen as select * from plain;
create table "An ""odd"" name" (id int);
`;

describe.each([15, 18] as const)('the code that runs as a table is written, on PostgreSQL %i', (version) => {
  let postgres: TestPostgres;
  let client: RawClient;
  beforeAll(async () => {
    postgres = await startPostgres({ version });
    await postgres.sql(SETUP);
    client = await RawClient.open(postgres.port);
  });
  afterAll(async () => {
    await client?.terminate();
    await postgres?.stop();
  });

  it.each([
    ['plain', 'none'],
    ['touched', 'none'],
    ['disabled', 'none'],
    ['trapped', 'settings'],
    ['commented', 'settings'],
    ['naming', 'names'],
    ['defaulted', 'settings'],
    ['checked', 'settings'],
    ['compared', 'settings'],
    ['domained', 'settings'],
    ['indexed', 'settings'],
    ['guarded', 'settings'],
    ['parent', 'settings'],
    ['parted', 'settings'],
    ['ruled', 'names'],
    ['seen', 'names'],
    ['An "odd" name', 'none'],
    ['nothing', undefined],
  ] as const)('of %s is %s', async (name, code) => {
    const bare = quoteQualified(null, name);
    const qualified = quoteQualified('public', name);
    const found = await readTableCode(new HiddenClient(client), [bare, qualified]);
    expect([found.get(bare), found.get(qualified)]).toEqual([code, code]);
  });
});
