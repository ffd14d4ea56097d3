import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { astVisitor, parse, type QName, type Statement } from 'pgsql-ast-parser';
import { afterAll, expect, test } from 'vitest';
import { AnalysisCache } from '../../src/sql/cache.ts';
import type { StatementEffects } from '../../src/sql/effects.ts';
import { cases, riskCases } from './corpus.ts';
import { regressionFolder } from './regression.ts';

/** A second grammar, written by others: where both read a text, they must see the same statement and targets. */

const cache = new AnalysisCache();
afterAll(() => cache.close());

const OPERATIONS: Readonly<Record<string, string>> = {
  select: 'select',
  union: 'select',
  'union all': 'select',
  with: 'select',
  values: 'select',
  insert: 'insert',
  update: 'update',
  delete: 'delete',
  'truncate table': 'truncate',
  'create table': 'create table',
  'create index': 'create index',
  'create view': 'create view',
  'create sequence': 'create sequence',
  'alter table': 'alter table',
  'drop table': 'drop table',
  'drop index': 'drop index',
  'drop sequence': 'drop sequence',
  'start transaction': 'begin',
  begin: 'begin',
  commit: 'commit',
  rollback: 'rollback',
};

function second(text: string): Statement[] | null {
  try {
    return parse(text);
  } catch {
    return null;
  }
}

/** The relations that a statement of the other grammar writes, outermost first. */
function targets(statement: Statement): string[] {
  const names: string[] = [];
  const add = (name: QName) =>
    names.push(name.schema === undefined ? name.name : `${name.schema}.${name.name}`);
  const visitor = astVisitor(() => ({
    insert: (node) => {
      add(node.into);
      visitor.super().insert(node);
    },
    update: (node) => {
      add(node.table);
      visitor.super().update(node);
    },
    delete: (node) => {
      add(node.from);
      visitor.super().delete(node);
    },
    truncateTable: (node) => node.tables.forEach(add),
    drop: (node) => node.type === 'drop table' && node.names.forEach(add),
  }));
  visitor.statement(statement);
  return names;
}

interface Disagreement {
  readonly text: string;
  readonly ours: unknown;
  readonly theirs: unknown;
}

async function compare(text: string): Promise<Disagreement[] | null> {
  // The second grammar loses statements between block comments.
  const theirs = text.includes('/*') ? null : second(text);
  if (theirs === null || theirs.length === 0) return null;
  const analysis = await cache.analyzeText(text);
  if (analysis.status !== 'parsed') return [];
  if (analysis.statements.length !== theirs.length) {
    return [{ text, ours: analysis.statements.length, theirs: theirs.length }];
  }
  return analysis.statements.flatMap((ours, index) => disagreements(text, ours, theirs[index]!));
}

function disagreements(text: string, ours: StatementEffects, theirs: Statement): Disagreement[] {
  const found: Disagreement[] = [];
  const operation = OPERATIONS[theirs.type];
  const inside = theirs.type === 'with' ? ours.operations : [ours.operation];
  if (operation !== undefined && theirs.type !== 'with' && !inside.includes(operation)) {
    found.push({ text, ours: ours.operations, theirs: theirs.type });
  }
  const writes = new Set(
    ours.writes.map(({ schema, name }) => (schema === null ? name : `${schema}.${name}`)),
  );
  // What PREPARE prepares is kept apart, because it is not run.
  const missed = theirs.type === 'prepare' ? [] : targets(theirs).filter((name) => !writes.has(name));
  if (missed.length > 0) found.push({ text, ours: [...writes], theirs: missed });
  return found;
}

test('agrees with the second grammar on statements and targets', async () => {
  const corpus = [
    ...cases('application.txt'),
    ...riskCases().map((each) => each.sql),
    ...cases('scoped.txt').map((where) => `delete from t where ${where}`),
  ];
  const results = await Promise.all(corpus.map(compare));
  expect(results.filter((each) => each !== null).length).toBeGreaterThan(150);
  expect(results.flatMap((each) => each ?? [])).toEqual([]);
});

test('understands all that applications write', async () => {
  for (const text of cases('application.txt')) {
    const analysis = await cache.analyzeText(text);
    expect([analysis.status, analysis.statements.flatMap((each) => each.operations)], text).toEqual([
      'parsed',
      expect.not.arrayContaining(['unknown']),
    ]);
  }
});

const folder = regressionFolder();

test.runIf(folder !== null)(
  "reads PostgreSQL's own regression SQL and agrees with the second grammar on it",
  async () => {
    const disagreeing: Disagreement[] = [];
    const unknown: string[] = [];
    let compared = 0;
    for (const file of readdirSync(folder!).filter((name) => name.endsWith('.sql'))) {
      for (const text of statementsOf(readFileSync(`${folder}/${file}`, 'utf8'))) {
        const analysis = await cache.analyzeText(text);
        if (analysis.status === 'failed') unknown.push(`${file}: failed: ${text}`);
        if (analysis.status !== 'parsed') continue;
        if (analysis.statements.some((each) => each.operations.includes('unknown')))
          unknown.push(`${file}: ${text}`);
        const result = text.length < 2_000 ? await compare(text) : null;
        if (result === null) continue;
        compared++;
        disagreeing.push(...result);
      }
    }
    expect(compared).toBeGreaterThan(5_000);
    expect(unknown).toEqual([]);
    expect(disagreeing).toEqual([]);
  },
  600_000,
);

/** Roughly psql's splitting: at a semicolon that ends a line. Commands of psql itself are left out. */
function statementsOf(file: string): string[] {
  const lines = file.split('\n').filter((line) => !line.startsWith('\\'));
  return lines
    .join('\n')
    .split(/;[ \t]*(?:--[^\n]*)?\n/)
    .map((text) => text.trim())
    .filter((text) => text !== '' && !/\\g|:'|:"|\\\w/.test(text));
}

test('the folder of regression SQL, where it is given, exists', () => {
  if (folder !== null) expect(existsSync(folder)).toBe(true);
});
