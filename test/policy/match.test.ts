import { describe, expect, it } from 'vitest';
import { decided, one, rules } from './support.ts';

const NIGHTLY = rules(
  '{ name: nightly, match: { role: [etl], application: [nightly], table: ["staging.*"] }, action: allow }',
);
const PAYROLL = rules('{ name: payroll, match: { table: ["hr.payroll"] }, action: block }');

describe('a table that the statement leaves to search_path', () => {
  it('is not surely the one that a rule allows', () => {
    expect(decided(NIGHTLY, one({ writes: ['staging.load'] }))).toBe('allow nightly');
    expect(decided(NIGHTLY, one({ writes: ['load'] }))).toBe('hold default:critical');
  });

  it('might be the one that a rule guards', () => {
    expect(decided(PAYROLL, one({ writes: ['payroll'] }))).toBe('block payroll');
    expect(decided(PAYROLL, one({ writes: ['other'] }))).toBe('hold default:critical');
  });

  it('is surely a table of that name where the rule names no schema', () => {
    const policy = rules(
      '{ name: scratch, match: { role: etl, table: [scratch, "*.tmp_*"] }, action: allow }',
    );
    expect(decided(policy, one({ writes: ['scratch'] }))).toBe('allow scratch');
    expect(decided(policy, one({ writes: ['tmp_1'] }))).toBe('allow scratch');
  });
});

describe('a statement with several tables', () => {
  it('is allowed only where all that it writes are', () => {
    expect(decided(NIGHTLY, one({ writes: ['staging.a', 'staging.b'] }))).toBe('allow nightly');
    expect(decided(NIGHTLY, one({ writes: ['staging.a', 'public.b'] }))).toBe('hold default:critical');
  });

  it('is guarded where any that it writes or reads is', () => {
    expect(decided(PAYROLL, one({ writes: ['public.a', 'hr.payroll'] }))).toBe('block payroll');
    expect(decided(PAYROLL, one({ writes: ['public.a'], reads: ['hr.payroll'] }))).toBe('block payroll');
    expect(decided(PAYROLL, one({ risk: 'safe', reads: ['hr.payroll'] }))).toBe('block payroll');
  });

  it('is not allowed by a rule on tables where it has none', () => {
    expect(decided(NIGHTLY, one({ operation: 'drop role' }))).toBe('hold default:critical');
  });
});

it('guards a table whose name differs in its capitals only, and allows none such', () => {
  const upper = rules('{ name: p, match: { table: [HR.Payroll] }, action: block }');
  expect(decided(upper, one({ writes: ['hr.payroll'] }))).toBe('block p');
  const allow = rules('{ name: p, match: { role: etl, table: [HR.Payroll] }, action: allow }');
  expect(decided(allow, one({ writes: ['hr.payroll'] }))).toBe('hold default:critical');
});

describe('operations', () => {
  const ALLOW = rules('{ name: del, match: { role: etl, operation: [delete] }, action: allow }');
  const BLOCK = rules('{ name: del, match: { operation: [delete] }, action: block }');
  const hidden = one({ operation: 'select', operations: ['select', 'delete'], writes: ['a.a'] });

  it('loosen a statement only where every one in it is named', () => {
    expect(decided(ALLOW, one())).toBe('allow del');
    expect(decided(ALLOW, hidden)).toBe('hold default:critical');
  });

  it('tighten a statement that has one inside', () => {
    expect(decided(BLOCK, hidden)).toBe('block del');
  });

  it('do not loosen a query that calls code nobody can see into, unless call is named as well', () => {
    const query = one({ operation: 'select', risk: 'high', functions: ['wipe'], opaque: true });
    const select = rules('{ name: q, match: { role: etl, operation: [select] }, action: allow }');
    const call = rules('{ name: q, match: { role: etl, operation: [select, call] }, action: allow }');
    expect(decided(select, query)).toBe('snapshot default:high');
    expect(decided(call, query)).toBe('allow q');
  });

  it('need not name the reading inside of a write, and guard it all the same', () => {
    const filled = one({ operation: 'insert', operations: ['insert', 'select'], writes: ['a.a'] });
    const insert = rules('{ name: i, match: { role: etl, operation: [insert] }, action: allow }');
    const select = rules('{ name: s, match: { operation: [select] }, action: block }');
    expect(decided(insert, filled)).toBe('allow i');
    expect(decided(select, filled)).toBe('block s');
  });

  it('see through an EXECUTE to what it executes', () => {
    const resolved = one({ operation: 'delete', operations: ['execute', 'delete'], writes: ['staging.a'] });
    expect(decided(ALLOW, resolved)).toBe('allow del');
    expect(decided(NIGHTLY, resolved)).toBe('allow nightly');
  });

  it('take an EXECUTE of something unknown for anything', () => {
    const unresolved = one({ operation: 'execute', opaque: true });
    const unknown = one({ operation: 'execute', operations: ['execute', 'unknown'] });
    for (const analysis of [unresolved, unknown]) {
      expect(decided(PAYROLL, analysis)).toBe('block payroll');
      expect(decided(NIGHTLY, analysis)).toBe('hold default:critical');
    }
  });
});

describe('code whose effects the text does not tell', () => {
  it('might touch the table that a rule guards, where the statement is nothing but code', () => {
    expect(decided(PAYROLL, one({ operation: 'do', opaque: true }))).toBe('block payroll');
    expect(decided(PAYROLL, one({ operation: 'call', functions: ['p'], opaque: true }))).toBe(
      'block payroll',
    );
  });

  it('takes tables along that nobody names, as the drop of a schema does', () => {
    expect(decided(PAYROLL, one({ operation: 'drop schema' }))).toBe('block payroll');
    expect(decided(PAYROLL, one({ operation: 'drop owned' }))).toBe('block payroll');
    expect(decided(PAYROLL, one({ operation: 'grant', risk: 'high' }))).toBe('block payroll');
    expect(decided(PAYROLL, one({ operation: 'grant', risk: 'high', writes: ['a.a'] }))).toBe(
      'snapshot default:high',
    );
    expect(decided(NIGHTLY, one({ operation: 'drop schema' }))).toBe('hold default:critical');
  });

  it('is not allowed by a rule on the tables beside it', () => {
    const analysis = one({ writes: ['staging.a'], functions: ['wipe'], opaque: true });
    expect(decided(NIGHTLY, analysis)).toBe('hold default:critical');
    const named = rules(
      '{ name: n, match: { role: etl, table: "staging.*", function: wipe }, action: allow }',
    );
    expect(decided(named, analysis)).toBe('allow n');
  });
});

describe('functions', () => {
  const ALLOW = rules('{ name: f, match: { role: etl, function: [price, "stats.*"] }, action: allow }');

  it('are allowed by name only where all of them are', () => {
    const calls = (...functions: string[]) =>
      one({ operation: 'select', risk: 'high', functions, opaque: true });
    expect(decided(ALLOW, calls('price'))).toBe('allow f');
    expect(decided(ALLOW, calls('stats.mean'))).toBe('allow f');
    expect(decided(ALLOW, calls('mean'))).toBe('snapshot default:high');
    expect(decided(ALLOW, calls('price', 'wipe'))).toBe('snapshot default:high');
  });

  it('do not carry the write around them', () => {
    expect(decided(ALLOW, one({ writes: ['a.a'], functions: ['price'], opaque: true }))).toBe(
      'hold default:critical',
    );
  });

  it('are guarded wherever one is called', () => {
    const policy = rules('{ name: f, match: { function: [pg_sleep] }, action: block }');
    expect(decided(policy, one({ functions: ['lower', 'pg_catalog.pg_sleep'] }))).toBe('block f');
  });
});

describe('columns', () => {
  const BLOCK = rules('{ name: c, match: { column: [hr.payroll.salary] }, action: block }');
  const ALLOW = rules('{ name: c, match: { role: etl, column: [hr.payroll.note] }, action: allow }');

  it('are guarded where one might be meant', () => {
    expect(
      decided(BLOCK, one({ operation: 'update', writes: ['hr.payroll'], columns: ['hr.payroll.salary'] })),
    ).toBe('block c');
    expect(
      decided(BLOCK, one({ operation: 'update', writes: ['payroll'], columns: ['payroll.salary'] })),
    ).toBe('block c');
    expect(decided(BLOCK, one({ operation: 'update', writes: ['payroll'], columns: ['salary'] }))).toBe(
      'block c',
    );
    expect(decided(BLOCK, one({ operation: 'update', writes: ['payroll'], columns: ['note'] }))).toBe(
      'hold default:critical',
    );
  });

  it('are guarded against what takes whole rows', () => {
    expect(decided(BLOCK, one({ writes: ['hr.payroll'] }))).toBe('block c');
    expect(decided(BLOCK, one({ operation: 'insert', writes: ['hr.payroll'] }))).toBe('block c');
    expect(decided(BLOCK, one({ operation: 'select', reads: ['hr.payroll'], columns: ['*'] }))).toBe(
      'block c',
    );
    expect(decided(BLOCK, one({ writes: ['public.a'] }))).toBe('hold default:critical');
  });

  it('loosen only an update or insert of no others', () => {
    const update = (...columns: string[]) => one({ operation: 'update', writes: ['hr.payroll'], columns });
    expect(decided(ALLOW, update('hr.payroll.note'))).toBe('allow c');
    expect(decided(ALLOW, update('hr.payroll.note', 'hr.payroll.salary'))).toBe('hold default:critical');
    expect(decided(ALLOW, one({ writes: ['hr.payroll'], columns: ['hr.payroll.note'] }))).toBe(
      'hold default:critical',
    );
  });
});

describe('rows', () => {
  const BLOCK = rules('{ name: many, match: { rows: ">100" }, action: block }');

  it('that are not known might be any number', () => {
    expect(decided(BLOCK, one({ writes: ['a.a'] }))).toBe('block many');
    const few = rules('{ name: few, match: { role: etl, rows: "<10" }, action: allow }');
    expect(decided(few, one({ writes: ['a.a'] }))).toBe('hold default:critical');
  });

  it.each([
    ['>100', 100, 'low'],
    ['>100', 101, 'possible'],
    ['>=100', 99, 'low'],
    ['>=100', 100, 'possible'],
    ['<10', 9, 'sure'],
    ['<10', 10, 'possible'],
    ['<=10', 10, 'sure'],
    ['<=10', 11, 'possible'],
    ['=3', 2, 'low'],
    ['=3', 3, 'possible'],
    ['=0', 1, 'possible'],
    ['>=0', 5, 'sure'],
  ])('%s of at most %d are %s', (limit, rowsMax, certainty) => {
    const insert = one({ operation: 'insert', risk: 'low', writes: ['a.a'], rowsMax });
    const block = rules(`{ name: r, match: { rows: "${limit}" }, action: block }`);
    expect(decided(block, insert)).toBe(certainty === 'low' ? 'allow default:low' : 'block r');
    const allow = rules(`{ name: r, match: { role: etl, rows: "${limit}" }, action: allow }`);
    expect(decided(allow, insert)).toBe(certainty === 'sure' ? 'allow r' : 'allow default:low');
    // Of what else it writes, or what runs with it, the text does not tell.
    const two = one({ operation: 'insert', risk: 'low', writes: ['a.a', 'b.b'], rowsMax });
    if (limit !== '>=0') expect(decided(allow, two)).toBe('allow default:low');
    expect(decided(block, two)).toBe('block r');
    const code = one({ operation: 'insert', risk: 'high', writes: ['a.a'], rowsMax, opaque: true });
    expect(decided(block, code)).toBe('block r');
  });

  it('are none where nothing is written', () => {
    expect(decided(BLOCK, one({ operation: 'select', risk: 'safe', reads: ['a.a'] }))).toBe(
      'allow default:safe',
    );
  });
});

describe("context, which is the client's word", () => {
  it('narrows an allow rule that names a role, and tightens by itself', () => {
    const allow = rules('{ name: c, match: { role: etl, context: { job: "load-*" } }, action: allow }');
    expect(decided(allow, one({}, { context: { job: 'load-1' } }))).toBe('allow c');
    expect(decided(allow, one())).toBe('hold default:critical');
    const block = rules('{ name: c, match: { context: { job: x } }, action: block }');
    expect(decided(block, one({}, { context: { job: 'x' } }))).toBe('block c');
  });
});

it('a statement that names more than is listed is not understood', () => {
  const writes = Array.from({ length: 4096 }, (_, i) => `staging.t${i}`);
  expect(decided(NIGHTLY, one({ writes }))).toBe('hold default:critical');
  expect(decided(PAYROLL, one({ writes }))).toBe('block payroll');
});

describe('a rule that might match', () => {
  it('does not end the search, and never makes the outcome looser', () => {
    const policy = rules(
      '{ name: maybe, match: { table: hr.payroll }, action: snapshot }',
      '{ name: sure, match: { role: etl }, action: hold }',
    );
    expect(decided(policy, one({ writes: ['payroll'] }))).toBe('hold sure');
    expect(decided(policy, one({ writes: ['hr.payroll'] }))).toBe('snapshot maybe');
  });
});
