import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Parser } from '../../../src/sql/parsing/parser.ts';
import type { WriteSlice } from '../../../src/sql/slices/slice.ts';
import { sliceWrite } from '../../../src/sql/slices/write-slice.ts';
import { goldenFiles } from '../../fixtures/golden.ts';

const parser = await Parser.create();

function parse(sql: string) {
  const outcome = parser.parse(Buffer.from(sql));
  return outcome.kind === 'tree' ? outcome.tree : null;
}

function slice(sql: string): WriteSlice {
  const raw = parse(sql)?.stmts?.at(-1);
  if (raw === undefined) throw new Error(`not a statement: ${sql}`);
  return sliceWrite(Buffer.from(sql), raw, parse);
}

/** What matters of a slice, a line each. */
function shown(found: WriteSlice): string {
  switch (found.kind) {
    case 'inexact':
      return `  inexact: ${found.reason}`;
    case 'truncate':
      return `  truncate: ${JSON.stringify(found.targets.map(({ text: _, ...target }) => target))}
  cascade ${found.cascade}, restarts sequences ${found.restartsSequences}`;
    case 'execute':
      return `  execute ${found.name} with ${JSON.stringify(found.values)}`;
    case 'cursor':
      return `  ${found.operation} of the row of cursor ${found.cursor}: ${found.target.text}`;
    case 'rows':
    case 'upsert': {
      const { target, parameters, functions, assigned, where, with: clause, ...all } = found;
      const { implied: _, impliedByValues: __, attributes: ___, ...rest } = all;
      const lines = [
        `from ${target.text} as ${target.reference}${target.only ? ' only' : ''}`,
        clause,
        where === null ? null : `where ${where}`,
        assigned.length === 0
          ? null
          : `set ${assigned.map((a) => `${a.column} := ${a.expression}`).join('; ')}`,
        parameters.length === 0 ? null : `parameters ${parameters.join(' ')}`,
        functions.length === 0 ? null : `functions ${functions.map((f) => f.name).join(' ')}`,
        JSON.stringify({ ...rest, calls: rest.calls.length }, (key, value) =>
          key.startsWith('where') && value === where ? undefined : value,
        ),
      ];
      return lines
        .filter((line) => line !== null)
        .map((line) => `  ${line.replaceAll('\n', '\\n')}`)
        .join('\n');
    }
    default:
      return found satisfies never;
  }
}

describe('the rows that a write will change, cut out of its text', () => {
  for (const golden of goldenFiles(join(import.meta.dirname, '../../fixtures/write-slices'))) {
    it(golden.name, () => {
      const output = golden.input
        .trimEnd()
        .split('\n')
        .map((sql) => `${sql}\n${shown(slice(sql.replaceAll('\\n', '\n')))}\n`)
        .join('');
      golden.update(output);
      if (process.env['UPDATE_GOLDEN'] !== '1') expect(output).toBe(golden.expected);
    });
  }

  it('cuts any one of several statements by its bytes', () => {
    const sql = "SELECT 'ä'; DELETE FROM ä WHERE ö = 'ü' ; UPDATE t SET a = 1";
    const raw = parse(sql)!.stmts![1]!;
    expect(sliceWrite(Buffer.from(sql), raw, parse)).toMatchObject({
      target: { text: 'ä' },
      where: "ö = 'ü'",
    });
  });
});
