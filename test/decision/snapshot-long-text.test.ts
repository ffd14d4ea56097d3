import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf } from '../support/raw-client.ts';
import { keptRows } from './kept-rows.ts';

/** Longer than what is parsed on the gateway's own thread, as bulk updates and long values in a text are. */
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const LONG = 'x'.repeat(100_000);
const TEXTS: readonly [string, string, number][] = [
  ['a value', `update kept set note = '${LONG}' where id = 3`, 1],
  [
    'a CASE for each row',
    `update kept set note = (case ${numbers(2_000)
      .map((id) => `when id = ${id} then 'new ${id}'`)
      .join(' ')} end) where id in (${numbers(2_000).join(', ')})`,
    20,
  ],
  [
    'a list of VALUES',
    `update kept set note = v.note from (values ${numbers(2_000)
      .map((id) => `(${id}, 'new ${id}')`)
      .join(', ')}) v(id, note) where v.id = kept.id`,
    20,
  ],
  ['a list of keys', `delete from kept where id in (${numbers(10_000).join(', ')})`, 20],
  [
    'rows to insert',
    `insert into kept values ${numbers(2_000)
      .slice(18)
      .map((id) => `(${id}, 'new ${id}')`)
      .join(', ')} on conflict (id) do update set note = excluded.note`,
    2,
  ],
  [
    'a query around it',
    `with u as (update kept set note = '${LONG}' where id < 3 returning id) select id from u`,
    2,
  ],
];

describe('a long text', () => {
  const kept = keptRows(18);
  const all = () => kept.other.rows('select * from kept order by id');

  it.each(
    TEXTS.flatMap(([what, sql, rows]) =>
      (['by itself', 'bound', 'in a block'] as const).map((how) => [what, how, sql, rows] as const),
    ),
  )('with %s, %s, is captured and can be undone', async (_, how, sql, rows) => {
    kept.taken.clear();
    const before = await all();
    if (how === 'in a block') await kept.client.rows('begin');
    const messages =
      how === 'bound'
        ? await kept.sent(fe.parse('', sql), fe.bind(), fe.execute(), fe.sync())
        : await kept.client.query(sql);
    expect(errorsOf(messages)).toEqual([]);
    if (how === 'in a block') await kept.client.rows('commit');
    const [image] = await kept.taken.images();
    expect(image!.before.length).toBe(rows);
    expect(await kept.taken.undone()).toMatchObject({ kind: 'done' });
    expect(await all()).toEqual(before);
  });
});
