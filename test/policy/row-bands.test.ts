import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stricter } from '../../src/policy/decide.ts';
import type { Decision } from '../../src/policy/decision.ts';
import { loadPolicy } from '../../src/policy/load.ts';
import { bandText, rowsToCount } from '../../src/policy/row-bands.ts';
import { AnalysisCache } from '../../src/sql/cache.ts';
import { ETL } from './support.ts';

const analyses = new AnalysisCache();
const DELETE = 'delete from payroll where id = 1';

async function asked(rules: readonly string[], sql = DELETE) {
  const session = loadPolicy(`rules:\n${rules.map((rule) => `  - ${rule}\n`).join('')}`, 'p.yaml').forSession(
    ETL,
  );
  const analysis = await analyses.analyzeText(sql);
  return { session, analysis, bands: session.byRows?.bands(analysis) ?? null };
}

const MANY =
  '{ name: many, match: { table: ["payroll"], operation: [update, delete], rows: ">100" }, action: hold }';

describe('what hangs on a number of rows', () => {
  it('is told with the numbers between which it is decided alike', async () => {
    const { bands } = await asked([
      MANY.replace('>100', '>1000').replace('many, ', 'far too many, ').replace('hold', 'block'),
      MANY,
      '{ name: one, match: { operation: [delete], rows: "=1" }, action: allow }',
    ]);
    expect(
      bands!.map((band) => `${bandText(band)}: ${band.decision.action} by ${band.decision.rule}`),
    ).toEqual([
      '0: snapshot by default:high',
      '1: allow by one',
      '2 to 100: snapshot by default:high',
      '101 to 1000: hold by many',
      'more than 1000: block by far too many',
    ]);
    expect(rowsToCount(bands!)).toBe(1000);
  });

  it.each([
    ['no rule names rows', ['{ name: all, match: { operation: [delete] }, action: hold }'], DELETE],
    [
      'a MERGE inserts',
      [MANY.replace('update, delete', 'merge')],
      'merge into payroll using s on s.id = payroll.id when matched then delete when not matched then insert values (1)',
    ],
    [
      'a TRUNCATE takes along what refers to its table',
      [MANY.replace('update, delete', 'truncate')],
      'truncate payroll cascade',
    ],
    ['the rule is about something else', [MANY], 'delete from orders where id = 1'],
    ["the rule is another role's", [MANY.replace('match: {', 'match: { role: [app],')], DELETE],
    [
      'it is decided alike whatever the number',
      ['{ name: all, match: { operation: [delete] }, action: block }', MANY],
      DELETE,
    ],
    ['the text tells the number', [MANY.replace('delete', 'insert')], 'insert into payroll values (1), (2)'],
    ['the text is of several statements', [MANY], `${DELETE}; select 1`],
    ['it runs code that may write more', [MANY], 'delete from payroll where own(id)'],
    ['another clause writes as well', [MANY], 'with x as (delete from orders) delete from payroll'],
    ['it only reads', [MANY.replace('update, delete', 'select')], 'select * from payroll'],
  ])('is nothing where %s', async (_, rules, sql) => {
    expect((await asked(rules, sql)).bands).toBeNull();
  });

  it('says how many rows it may come to be, without being decided more strictly', async () => {
    const { session, analysis } = await asked([MANY]);
    const counted = (rows: number) => session.decideOf(analysis, { least: rows, most: rows }).counted;
    expect(counted(5)).toMatchObject({ within: { least: 0, most: 100 } });
    // What is held by now may be any number.
    expect(counted(101)).toMatchObject({ within: { least: 0, most: null } });
  });

  it('is decided by the strictest where it was counted no closer', async () => {
    const { session, analysis } = await asked([MANY]);
    expect(session.decideOf(analysis, { least: 0, most: 500 })).toMatchObject({
      action: 'hold',
      rule: 'many',
    });
    expect(session.decideOf(analysis, { least: 0, most: 50 })).toMatchObject({ action: 'snapshot' });
  });

  it('is never stricter than what is decided where nobody knows the number', async () => {
    const rule = fc.record({
      rows: fc.option(fc.tuple(fc.constantFrom('>', '>=', '<', '<=', '='), fc.nat(6)), { nil: null }),
      action: fc.constantFrom('allow', 'snapshot', 'hold', 'block'),
      operation: fc.constantFrom('delete', 'update', '*'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(rule, { minLength: 1, maxLength: 6 }), async (rules) => {
        const { session, analysis, bands } = await asked(
          rules.map(({ rows, action, operation }, i) => {
            const compared = rows === null ? '' : `, rows: "${rows[0]}${rows[1]}"`;
            return `{ name: r${i}, match: { operation: ["${operation}"]${compared} }, action: ${action} }`;
          }),
        );
        const unknown = session.decide(analysis);
        const asks = ({ counted: _, rule: _rule, reason: _reason, ...rest }: Decision) => rest;
        for (let rows = 0; rows < 9; rows++) {
          const known = session.decideOf(analysis, { least: rows, most: rows });
          expect(asks(stricter(unknown, known))).toEqual(asks(unknown));
          const { counted } = known;
          expect(counted === undefined).toBe(bands === null);
          if (counted?.kind !== 'counted') continue;
          const { least, most } = counted.within;
          expect(least <= rows && (most === null || rows <= most)).toBe(true);
          for (let other = 0; other < 9; other++) {
            if (other < least || (most !== null && other > most)) continue;
            const then = session.decideOf(analysis, { least: other, most: other });
            expect(asks(stricter(known, then))).toEqual(asks(known));
          }
        }
      }),
      { numRuns: 150 },
    );
  });
});
