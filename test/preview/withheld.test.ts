import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Preview } from '../../src/preview/preview.ts';
import { withOlderWithheld } from '../../src/preview/withheld.ts';
import { HeldPreviews } from './held-preview.ts';

const SCHEMA = `
  create table people (id int primary key, note text, age int, ssn text, seen text generated always as (ssn || '!') stored);
  insert into people (id, note, age, ssn) select i, 'n' || i, i, 'SECRET-' || i from generate_series(1, 3) i;
  create table parted (id int, note text, pin text) partition by range (id);
  create table parted_low partition of parted for values from (0) to (10);
  create table parted_high partition of parted for values from (10) to (20);
  insert into parted values (1, 'a', 'SECRET-1'), (11, 'b', 'SECRET-11');
  create table base (id int, code text); create table heir () inherits (base);
  insert into heir values (1, 'SECRET-1'); insert into base values (2, 'SECRET-2');
  create table child (id int, word text); create table grown (extra text) inherits (child);
  insert into grown values (1, 'SECRET-1', 'x');
  create table plain (id int primary key, note text); insert into plain values (1, 'n1');
  analyze;`;

const POLICY = `
mode: protect
mask: [people.ssn, parted_low.pin, base.code, grown.word]
rules:
  - { name: asks, match: { operation: [delete, update, truncate] }, action: hold, hold: { mode: live } }
`;

/** New values that may tell of a masked column, in which way soever they come by it. */
const TELLING: readonly string[] = [
  'ssn',
  'upper(ssn)',
  "'x' || people.ssn",
  'CASE WHEN ssn > note THEN note ELSE note END',
  "CASE WHEN age = 1 THEN 'a' ELSE public.people.ssn END",
  'coalesce(null, ssn)',
  'greatest(note, ssn)',
  '(ARRAY[note, ssn])[2]',
  'people::text',
  '(people).ssn',
  '(people.*)::text',
  'row_to_json(people)::text',
  'people.row_to_json::text',
  'to_jsonb(people)::text',
  'concat(people)',
  '(SELECT ssn)',
  '(SELECT p.ssn FROM people p WHERE p.id = people.id)',
  '(SELECT max(ssn) FROM people)',
  '(TABLE one)',
  'seen',
  "table_to_xml('people', false, false, '')::text",
  '"ssn"',
  'xmlforest(ssn)::text',
  '(ROW(ssn, 1))::text',
  'note || note || (ssn IS NULL)::text',
];

/** New values that are made of what is shown anyway. */
const TOLD: readonly (readonly [expression: string, after: string])[] = [
  ["'fixed'", 'fixed'],
  ["upper(note) || '-' || age::text", 'N1-1'],
  ['coalesce(nullif(people.note, $$n1$$), $$was n1$$)', 'was n1'],
  ["concat(note, ' ', age + 1)", 'n1 2'],
  ["CASE WHEN age BETWEEN 0 AND 5 AND note IS NOT NULL THEN 'young' ELSE note END", 'young'],
];

describe('what a preview keeps from those who look at it', () => {
  let held: HeldPreviews;
  let client: pg.Client;
  let narrow: string;

  beforeAll(async () => {
    held = await HeldPreviews.start(18, SCHEMA, POLICY);
    client = await held.client();
    const { body } = await held.gateway.http('/v1/tokens', {
      method: 'POST',
      body: { name: 'looks', scopes: ['approval:read'] },
    });
    narrow = (body as { token: string }).token;
  });
  afterAll(() => held?.stop());

  const of = (sql: string, values?: readonly unknown[]) => held.of(client, sql, values);
  const seenNarrowly = (sql: string, values?: readonly unknown[]) =>
    held.of(client, sql, values, 'deny', narrow);
  const column = ({ sample }: Preview, name: string) => {
    if (sample.kind !== 'rows') throw new Error(sample.reason);
    const at = sample.columns.findIndex((each) => each.name === name);
    const [row] = sample.rows;
    const { masked, withheld } = sample.columns[at]!;
    return { masked, withheld, before: row?.before[at], after: row?.after?.[at] };
  };

  it('shows no new value that may tell of a masked column', async () => {
    for (const expression of TELLING) {
      const clause = expression.includes('one') ? 'WITH one AS (SELECT max(ssn) FROM people) ' : '';
      const preview = await of(`${clause}UPDATE people SET note = ${expression} WHERE id = 1`);
      expect(JSON.stringify(preview), expression).not.toContain('SECRET');
      const { sample } = preview;
      if (sample.kind !== 'rows') continue;
      expect(column(preview, 'note'), expression).toMatchObject({ withheld: 'mask', after: null });
    }
  });

  it('shows those that are made of what is shown anyway', async () => {
    for (const [expression, after] of TOLD) {
      const preview = await of(`UPDATE people SET note = ${expression} WHERE id = 1`);
      expect(column(preview, 'note'), expression).toEqual({
        masked: false,
        withheld: null,
        before: 'n1',
        after,
      });
    }
  });

  it('masks a column by the name of whatever its rows are a part of, or consist of', async () => {
    for (const [table, name] of [
      ['parted', 'pin'],
      ['parted_low', 'pin'],
      ['heir', 'code'],
      ['base', 'code'],
      ['child', 'word'],
    ] as const) {
      const removed = await of(`DELETE FROM ${table}`);
      expect(column(removed, name), table).toMatchObject({ masked: true, before: null });
      const updated = await of(`UPDATE ${table} SET ${name} = 'y' || ${name}`);
      expect(column(updated, name), table).toMatchObject({ masked: true, withheld: 'mask', after: null });
      expect(JSON.stringify([removed, updated]), table).not.toContain('SECRET');
    }
    expect(column(await of('TRUNCATE parted'), 'pin')).toMatchObject({ masked: true, before: null });
  });

  it('shows values of parameters, and what they would make, to those alone who may see them', async () => {
    const telling: readonly (readonly [sql: string, values: readonly unknown[]])[] = [
      ['UPDATE plain SET note = $1 WHERE id = 1', ['TOLD']],
      ["UPDATE plain SET note = note || upper($1) || 'x' WHERE id = $2", ['TOLD', 1]],
      ['WITH p AS (SELECT $1::text AS v) UPDATE plain SET note = (SELECT v FROM p) WHERE id = 1', ['TOLD']],
    ];
    for (const [sql, values] of telling) {
      const preview = await seenNarrowly(sql, values);
      expect(JSON.stringify(preview), sql).not.toContain('TOLD');
      const { withheld, after } = column(preview, 'note');
      expect([withheld, after], sql).toEqual([sql.startsWith('WITH') ? 'mask' : 'parameters', null]);
    }
    const [sql, values] = telling[0]!;
    expect(column(await of(sql, values), 'note')).toMatchObject({ withheld: null, after: 'TOLD' });
    const besides = await seenNarrowly("UPDATE plain SET note = 'z' WHERE id = $1", [1]);
    expect(column(besides, 'note')).toMatchObject({ withheld: null, after: 'z' });
  });

  it('says that the server refused a question without the values that the server names', async () => {
    const masked = await of('DELETE FROM people WHERE ssn::int = 1');
    expect(masked.sample).toEqual({
      kind: 'unknown',
      reason: 'the server refused it (SQLSTATE 22P02)',
    });
    expect(JSON.stringify(masked)).not.toContain('SECRET');
    const given = await seenNarrowly('UPDATE plain SET note = 1 WHERE id = ($1::text)::int', ['TOLD']);
    expect(JSON.stringify(given)).not.toContain('TOLD');
  });

  it('shows no new value of a preview that was kept without a note of what it was made of', async () => {
    const preview = await of("UPDATE plain SET note = 'z' WHERE id = 1");
    const older = JSON.parse(JSON.stringify(preview), (key, value) =>
      key === 'withheld' ? undefined : value,
    ) as Preview;
    expect(column(older, 'note').after).toBe('z');
    expect(column(withOlderWithheld(older), 'note')).toMatchObject({ withheld: 'mask', after: null });
    expect(column(withOlderWithheld(older), 'id')).toMatchObject({ withheld: null, after: '1' });
  });
});
