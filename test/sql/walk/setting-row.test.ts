import { afterAll, describe, expect, it } from 'vitest';
import { AnalysisCache } from '../../../src/sql/cache.ts';
import { DEFAULT_TEXT_FACTS } from '../../../src/sql/effects.ts';

const cache = new AnalysisCache();
afterAll(() => cache.close());

async function read(sql: string, catalogFirst = true) {
  const bytes = Buffer.from(sql);
  const { statements } = await cache.analyze(bytes, 0, bytes.length, { ...DEFAULT_TEXT_FACTS, catalogFirst });
  return statements[0]!;
}

const COMPUTED = 'changes a setting whose name is computed';

describe('a setting that is named by its row in pg_settings', () => {
  it.each([
    [`pg_catalog.pg_settings where name = 'work_mem'`, 'low'],
    [`pg_catalog.pg_settings where 'work_mem' operator(pg_catalog.=) pg_settings.name`, 'low'],
    [`pg_catalog.pg_settings where pg_catalog.pg_settings.name = 'row_security'`, 'low'],
    [`pg_catalog.pg_settings s where s.name = 'session_replication_role'`, 'critical'],
    [`pg_catalog.pg_settings where name = 'no_such'`, 'critical'],
  ])('is that setting: %s', async (from, risk) => {
    const { risk: found, reasons } = await read(
      `select pg_catalog.set_config(name, '1', false) from ${from}`,
    );
    expect([found, reasons]).toEqual([risk, expect.not.arrayContaining([COMPUTED])]);
  });

  it('is a matter for the catalog where a temporary table may hide pg_settings', async () => {
    const { risk, called } = await read(
      `select set_config(name, 'view', false) from pg_settings where name = 'restrict_nonsystem_relation_kind'`,
    );
    expect([risk, called]).toEqual([
      'high',
      { risk: 'low', functions: [], attributes: [], operators: [], catalogRelations: ['pg_settings'] },
    ]);
  });

  it.each([
    `set_config(name, '1', false) from pg_settings`,
    `set_config(setting, '1', false) from pg_settings where name = 'work_mem'`,
    `set_config(name || '', '1', false) from pg_settings where name = 'work_mem'`,
    `set_config(name, '1', false) from pg_settings where name = 'work_mem' or name = 'role'`,
    `set_config(name, '1', false) from pg_settings where name like 'work_mem'`,
    `set_config(name, '1', false) from pg_settings where name <> 'work_mem'`,
    `set_config(name, '1', false) from pg_settings where name operator(app.=) 'work_mem'`,
    `set_config(name, '1', false) from pg_settings where name = 'work_mem' collate "loose"`,
    `set_config(name, '1', false) from pg_settings where name = 'work_mem'::app.any`,
    `set_config(name, '1', false) from pg_settings where name = any (array['work_mem'])`,
    `set_config(name, '1', false) from pg_settings where name = $1`,
    `set_config(name, '1', false) from pg_settings where setting = 'work_mem'`,
    `set_config(name, '1', false) from pg_settings, other where name = 'work_mem'`,
    `set_config(name, '1', false) from pg_settings s (setting, name) where name = 'work_mem'`,
    `set_config(name, '1', false) from app.pg_settings where name = 'work_mem'`,
    `set_config(name, '1', false) from other where name = 'work_mem'`,
    `set_config("pg_settings.name", '1', false) from pg_settings where "pg_settings.name" = 'work_mem'`,
    `set_config(name, '1', false) from (select * from pg_settings) s where name = 'work_mem'`,
    `(select set_config(name, '1', false)) from pg_settings where name = 'work_mem'`,
    `1 from pg_settings where name = 'work_mem' and set_config(name, '1', false) is null`,
  ])('is computed in anything else: select %s', async (sql) => {
    expect((await read(`select ${sql}`)).reasons).toContain(COMPUTED);
  });

  it.each([
    `with pg_settings as (select 'role'::text as name) select set_config(name, '1', false) from pg_settings where name = 'work_mem'`,
    `with pg_settings as (select 'role'::text as name) select set_config(name, '1', false) from (select 1) x, lateral (select set_config(name, '1', true) from pg_settings where name = 'work_mem') y`,
  ])('is computed from a common table expression of the name: %s', async (sql) => {
    expect((await read(sql)).reasons).toContain(COMPUTED);
  });

  it('is computed where = may be an operator of somebody', async () => {
    const sql = `select pg_catalog.set_config(name, '1', false) from pg_catalog.pg_settings where name = 'work_mem'`;
    expect((await read(sql, false)).reasons).toContain(COMPUTED);
    expect((await read(sql.replace('=', 'operator(pg_catalog.=)'), false)).risk).toBe('low');
  });
});
