import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  catalogFunction,
  givesRows,
  isAggregate,
  isCatalogOperator,
  isCatalogType,
} from '../../../src/sql/facts/functions.ts';
import { settingFacts } from '../../../src/sql/facts/settings.ts';
import { startPostgres, type TestPostgres } from '../../support/postgres.ts';

/** What real servers have must be known by name: a function that is missing here counts as opaque code. */
describe.each([15, 18] as const)('PostgreSQL %i', (version) => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres({ version });
  });
  afterAll(() => server.stop());

  const column = async (query: string): Promise<string[]> => {
    const rows = await server.sql(query);
    return rows.map((row) => row[0] ?? '');
  };

  test('has no function in pg_catalog that is not known', async () => {
    const names = await column(
      "select distinct proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace order by 1",
    );
    expect(names.length).toBeGreaterThan(2_500);
    expect(names.filter((name) => catalogFunction(name) === undefined)).toEqual([]);
  });

  test('has no operator in pg_catalog that is not known', async () => {
    const names = await column(
      "select distinct oprname from pg_operator where oprnamespace = 'pg_catalog'::regnamespace",
    );
    expect(names.filter((name) => !isCatalogOperator(name))).toEqual([]);
  });

  test('has no type in pg_catalog, but for rows of its tables and arrays, that is not known', async () => {
    const names = await column(
      "select typname from pg_type where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'p', 'r', 'm') and typname !~ '^_'",
    );
    expect(names.filter((name) => !isCatalogType(name))).toEqual([]);
  });

  test('has no ordinary aggregate that is not known', async () => {
    const names = await column(
      "select distinct proname from pg_aggregate join pg_proc on aggfnoid = pg_proc.oid where pronamespace = 'pg_catalog'::regnamespace and aggkind <> 'h'",
    );
    expect(names.filter((name) => !isAggregate(name))).toEqual([]);
  });

  test('has no function that returns a set and is not known to', async () => {
    const names = await column(
      "select distinct proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace and proretset",
    );
    expect(names.length).toBeGreaterThan(50);
    expect(names.filter((name) => !givesRows(name))).toEqual([]);
    const operators = 'select count(*) from pg_operator join pg_proc p on p.oid = oprcode where proretset';
    expect(await column(operators)).toEqual(['0']);
  });

  test('has no setting that a session can change and that is not known', async () => {
    const names = await column(
      "select name from pg_settings where context in ('user', 'superuser') and name not like '%.%'",
    );
    expect(names.length).toBeGreaterThan(100);
    expect(names.filter((name) => settingFacts(name).reason === 'changes an unknown setting')).toEqual([]);
  });
});

describe('what a dangerous function is called does not matter', () => {
  test.each([
    ['pg_read_file', 'forbidden'],
    ['lo_export', 'forbidden'],
    ['dblink_exec', 'forbidden'],
    ['pg_drop_replication_slot', 'forbidden'],
    ['binary_upgrade_set_next_pg_type_oid', 'forbidden'],
    ['pg_terminate_backend', 'critical'],
    ['setval', 'high'],
    ['query_to_xml', 'high'],
    ['nextval', 'low'],
    ['lower', 'safe'],
  ])('%s is %s', (name, risk) => {
    expect(catalogFunction(name)?.risk).toBe(risk);
  });
});
