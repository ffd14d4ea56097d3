import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { DEFAULT_TEXT_FACTS } from '../../../src/sql/effects.ts';
import type { NodeName } from '../../../src/sql/parsing/tree.ts';
import { GRAMMAR } from '../../../src/sql/walk/grammar.ts';
import { OBJECT_KINDS } from '../../../src/sql/walk/rules-objects.ts';
import { TRANSACTION_KINDS } from '../../../src/sql/walk/rules-session.ts';
import { ALTERATION_KINDS } from '../../../src/sql/walk/rules-table.ts';
import { Walk } from '../../../src/sql/walk/walk.ts';

/** The parser's own list of what its trees are made of. */
const require = createRequire(import.meta.url);
const types = readFileSync(require.resolve('@pgsql/types').replace(/index\.js$/, 'types.d.ts'), 'utf8');
const enums = readFileSync(require.resolve('@pgsql/types').replace(/index\.js$/, 'enums.d.ts'), 'utf8');

const interfaces = new Map(
  [...types.matchAll(/export interface (\w+) \{([^}]*)\}/g)].map(([, name, body]) => [name!, body!] as const),
);
const nodeUnion = types.slice(types.indexOf('export type Node ='), types.indexOf('export interface'));
const nodeNames = [...nodeUnion.matchAll(/^ {4}(\w+): \1;/gm)].map(([, name]) => name!);

function members(name: string): string[] {
  const line = enums.split('\n').find((each) => each.startsWith(`export type ${name} =`));
  return [...(line ?? '').matchAll(/"(\w+)"/g)].map(([, member]) => member!);
}

describe('every kind of node', () => {
  test('that the parser knows has a rule', () => {
    expect(nodeNames.length).toBeGreaterThan(250);
    expect(nodeNames.filter((name) => !Object.hasOwn(GRAMMAR.rules, name))).toEqual([]);
  });

  test('that holds another without its wrapper says of which kind it is', () => {
    const missing: string[] = [];
    for (const [name, body] of interfaces) {
      const rule = GRAMMAR.rules[name as NodeName];
      if (rule === undefined || rule === 'never' || rule === 'leaf') continue;
      for (const [, field, type] of body.matchAll(/(\w+)\?: (\w+);/g)) {
        if (type === 'Node' || !interfaces.has(type!)) continue;
        if (GRAMMAR.typedFields[name as NodeName]?.[field!] !== type)
          missing.push(`${name}.${field}: ${type}`);
      }
    }
    expect(missing).toEqual([]);
  });

  test('that has no rule makes the statement unknown and critical', () => {
    for (const tree of [
      { NoSuchNode: {} },
      { Query: {} },
      { SelectStmt: { newField: { NoSuchNode: {} } } },
    ]) {
      const walk = new Walk(GRAMMAR, DEFAULT_TEXT_FACTS.catalogFirst, {
        literalsRead: false,
        unseenChars: 0,
      });
      walk.visit(tree);
      const effects = walk.finish(0, 0);
      expect(effects.risk).toBe('critical');
      expect(effects.operations).toContain('unknown');
    }
  });

  test('inside an unwrapped field that is not known makes the statement unknown', () => {
    const walk = new Walk(GRAMMAR, true, { literalsRead: false, unseenChars: 0 });
    walk.visit({ SelectStmt: { novelty: { relname: 't' } } });
    expect(walk.finish(0, 0).risk).toBe('critical');
  });
});

describe('every member of the enumerations that decide', () => {
  test.each([
    ['AlterTableType', ALTERATION_KINDS],
    ['ObjectType', OBJECT_KINDS],
    ['TransactionStmtKind', TRANSACTION_KINDS],
  ])('%s is mapped', (name, mapped) => {
    const all = members(name);
    expect(all.length).toBeGreaterThan(5);
    expect([...mapped].sort()).toEqual(all.sort());
  });

  const probes: readonly [string, (member: string) => object][] = [
    [
      'VariableSetKind',
      (kind) => ({ VariableSetStmt: { kind, name: kind === 'VAR_SET_MULTI' ? 'TRANSACTION' : 'timezone' } }),
    ],
    ['DiscardMode', (target) => ({ DiscardStmt: { target } })],
    ['ReindexObjectType', (kind) => ({ ReindexStmt: { kind } })],
    ['OnConflictAction', (action) => ({ InsertStmt: { onConflictClause: { action } } })],
  ];
  const unreal = new Set(['ONCONFLICT_NONE']);

  test.each(probes)('%s is known, and a new member is not', (name, probe) => {
    const operations = (member: string) => {
      const walk = new Walk(GRAMMAR, true, { literalsRead: false, unseenChars: 0 });
      walk.visit(probe(member));
      return walk.finish(0, 0).operations;
    };
    for (const member of members(name).filter((each) => !unreal.has(each))) {
      expect(operations(member), member).not.toContain('unknown');
    }
    expect(operations('SOMETHING_NEW')).toContain('unknown');
  });

  test.each([
    [
      'AlterTableStmt',
      {
        relation: { relname: 't' },
        objtype: 'OBJECT_TABLE',
        cmds: [{ AlterTableCmd: { subtype: 'AT_New' } }],
      },
    ],
    ['AlterTableStmt', { relation: { relname: 't' }, objtype: 'OBJECT_NEW' }],
    ['DropStmt', { removeType: 'OBJECT_NEW' }],
    ['TransactionStmt', { kind: 'TRANS_STMT_NEW' }],
    ['RenameStmt', { renameType: 'OBJECT_NEW' }],
  ])('%s with a new subtype is critical', (name, fields) => {
    const walk = new Walk(GRAMMAR, true, { literalsRead: false, unseenChars: 0 });
    walk.visit({ [name]: fields });
    expect(walk.finish(0, 0).operations).toContain('unknown');
    expect(walk.risk).toBe('critical');
  });
});
