import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { errorsOf } from '../support/raw-client.ts';
import { keptRows } from './kept-rows.ts';

const UPSERT = `insert into kept values (3, 'new', 103), (30, 'more', 30)
  on conflict (id) do update set note = excluded.note, amount = excluded.amount returning id`;

const trigger = (body: string) => `
  create function noted() returns trigger language plpgsql as $$ ${body} $$;
  create trigger noted before insert on kept for each row execute function noted()`;

describe.each([15, 18] as const)('an upsert of a table with triggers, on PostgreSQL %i', (version) => {
  const kept = keptRows(version);
  const all = () => kept.other.rows('select * from kept order by id');

  it.each(['simply', 'bound'])('is captured where they leave the key as it is, %s', async (how) => {
    await kept.other.rows(trigger(`begin new.note := upper(new.note) || ' ' || tg_op; return new; end`));
    kept.taken.clear();
    const before = await all();
    const messages =
      how === 'bound'
        ? await kept.sent(fe.parse('', UPSERT), fe.bind(), fe.execute(), fe.sync())
        : await kept.client.query(UPSERT);
    expect(errorsOf(messages)).toEqual([]);
    expect(await kept.row(3)).toEqual(['NEW INSERT', '103']);
    expect(await kept.row(30)).toEqual(['MORE INSERT', '30']);
    expect(await kept.taken.undone()).toMatchObject({ kind: 'done' });
    expect(await all()).toEqual(before);
  });

  it.each([
    ['sets a key', 'begin new.id := 4; return new; end'],
    ['sets another key', 'begin new.amount = 5; return new; end'],
    ['sets the whole row', `begin new := row(4, 'x', 4)::kept; return new; end`],
    ['fetches into it', 'begin select 4, new.note, 4 into new; return new; end'],
    ['keeps rows back', 'begin return null; end'],
  ])('has no exact plan where one %s', async (_, body) => {
    await kept.other.rows(trigger(body));
    const before = await all();
    expect(errorsOf(await kept.client.query(UPSERT))).toMatchObject([
      { C: 'HF002', D: expect.stringContaining('a trigger may change what is inserted') },
    ]);
    expect(await all()).toEqual(before);
  });

  it('is taken back where one changes the key without a word that tells', async () => {
    await kept.other.rows(
      trigger(
        'declare r alias for new; begin r := (select k from kept k where note = $q$row 4$q$); return r; end',
      ),
    );
    const before = await all();
    const sql =
      "insert into kept values (3, 'new', 103) on conflict (id) do update set note = 'other' returning id";
    const [error] = errorsOf(await kept.client.query(sql));
    expect(error?.['C']).toMatch(/^(HF002|40001)$/);
    expect(await all()).toEqual(before);
  });
});
