import { describe, expect, it } from 'vitest';
import { loadPolicy } from '../../src/policy/load.ts';
import { Replay, type ReplayedEvent } from '../../src/policy/replay.ts';
import { AnalysisCache } from '../../src/sql/cache.ts';

const analyses = new AnalysisCache();
let serial = 0;

function event(sql: string | null, changes: Partial<ReplayedEvent> = {}): ReplayedEvent {
  return {
    id: String(++serial),
    time: '2031-01-01T00:00:00.000000Z',
    role: 'app',
    database: 'shop',
    application: '',
    client: '[2001:db8::1]:5000',
    sql,
    sql_truncated: false,
    statement_index: 0,
    protocol: 'simple',
    action: 'allow',
    rule: 'default:safe',
    end: 'completed',
    rows: null,
    rows_counted: null,
    ...changes,
  };
}

async function replayed(policy: string, ...events: readonly ReplayedEvent[]) {
  const replay = new Replay(loadPolicy(policy, 'new.yaml'));
  for (const each of events) await replay.add(each, (sql) => analyses.analyzeText(sql));
  return replay.result;
}

describe('a replay of the audit', () => {
  it('tells what would be newly held, blocked and allowed, with counts and examples', async () => {
    const policy = `rules:
      - { name: from there, match: { client: ["2001:db8::/32"], operation: [delete] }, action: block }
      - { name: etl, match: { role: [etl] }, action: allow }`;
    const result = await replayed(
      policy,
      event('select 1'),
      event('delete from a where b = 1', { action: 'snapshot', rule: 'default:high' }),
      event('delete from a where b = 2', { action: 'snapshot', rule: 'default:high' }),
      event('delete from a where b = 1', { action: 'snapshot', rule: 'default:high' }),
      event('drop table c', { role: 'etl', action: 'hold', rule: 'default:critical' }),
      event('drop table c', { action: 'hold', rule: 'default:critical' }),
    );
    expect(result).toMatchObject({ decided: 6, same: 2 });
    expect(
      result.changes.map(({ from, to, rule_before, rule, count, examples }) => [
        `${from} by ${rule_before} → ${to} by ${rule}`,
        count,
        examples.map(({ sql }) => sql),
      ]),
    ).toEqual([
      [
        'snapshot by default:high → block by from there',
        3,
        ['delete from a where b = 1', 'delete from a where b = 2'],
      ],
      ['hold by default:critical → allow by etl', 1, ['drop table c']],
    ]);
  });

  it('compares rows with those that were written, else with those that were counted before', async () => {
    const policy = 'rules: [{ name: many, match: { operation: [delete], rows: ">100" }, action: hold }]';
    const snapshot = { action: 'snapshot', rule: 'default:high' } as const;
    const result = await replayed(
      policy,
      event('delete from a where b = 1', { ...snapshot, rows: 100 }),
      event('delete from a where b = 2', { ...snapshot, rows: 101 }),
      event('delete from a where b = 3', { ...snapshot, end: 'failed', rows_counted: { least: 5, most: 5 } }),
      event('delete from a where b = 4', {
        ...snapshot,
        end: 'failed',
        rows_counted: { least: 101, most: null },
      }),
      event('delete from a where b = 5', {
        ...snapshot,
        end: 'failed',
        rows_counted: { unknown: 'of a lock' },
      }),
    );
    expect(result).toMatchObject({ decided: 5, same: 2 });
    expect(result.changes).toMatchObject([{ from: 'snapshot', to: 'hold', rule: 'many', count: 3 }]);
  });

  it('decides nothing of which it does not know the whole, and counts it', async () => {
    const result = await replayed(
      'mode: protect',
      event(null, { protocol: 'function' }),
      event('select 1, 2', { sql_truncated: true }),
      event('execute q(1)'),
      event("delete from a where password = '***'"),
      event('undo', { protocol: 'admin' }),
      event('select 1; drop table a', { statement_index: 1 }),
    );
    expect(result).toEqual({
      decided: 0,
      same: 0,
      skipped: { no_text: 1, cut_text: 1, masked_text: 1, prepared_elsewhere: 1 },
      changes: [],
    });
  });
});
