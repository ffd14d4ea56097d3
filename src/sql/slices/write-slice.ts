import type { RawStmt } from '@pgsql/types';
import { as, type Fields, list, unwrap } from '../parsing/tree.ts';
import { inexact, type SliceRequest, type SliceTarget, targetOf, type WriteSlice } from './slice.ts';
import type { ParseSlice } from './slice-check.ts';
import { sliceExecute } from './slice-execute.ts';
import { sliceFacts } from './slice-facts.ts';
import { inWith, type WriteInWith, writeInWith } from './slice-in-with.ts';
import { sliceInsert } from './slice-insert.ts';
import { sliceMerge } from './slice-merge.ts';
import { sliceRows } from './slice-rows.ts';
import { SliceText } from './slice-text.ts';

/** Slices one statement of a text in UTF-8. */
export function sliceWrite(utf8: Buffer, raw: RawStmt, parse: ParseSlice): WriteSlice {
  const start = raw.stmt_location ?? 0;
  const end = raw.stmt_len === undefined ? utf8.length : start + raw.stmt_len;
  return sliceStatement(SliceText.of(utf8, start, end), unwrap(raw.stmt), 0, 0, parse);
}

function sliceStatement(
  sliced: SliceText,
  node: { readonly name: string; readonly fields: Fields } | null,
  first: number,
  depth: number,
  parse: ParseSlice,
): WriteSlice {
  if (node === null) return inexact('there is no statement');
  const request: SliceRequest = { text: sliced, fields: node.fields, depth, first, parse };
  switch (node.name) {
    case 'UpdateStmt':
      return sliceRows(request, 'update');
    case 'DeleteStmt':
      return sliceRows(request, 'delete');
    case 'MergeStmt':
      return sliceMerge(request);
    case 'InsertStmt':
      return sliceInsertion(request);
    case 'TruncateStmt':
      return sliceTruncate(node.fields);
    case 'ExecuteStmt':
      // Alone: EXPLAIN and CREATE TABLE AS say EXECUTE in another place.
      return first === 0 ? sliceExecute(request) : inexact('it executes what another text prepares');
    case 'SelectStmt':
      return sliceQuery(request);
    case 'ExplainStmt':
    case 'PrepareStmt':
    case 'CopyStmt':
      return sliceInner(sliced, node.name, node.fields, first, parse);
    default:
      return inexact(
        sliceFacts([node.fields]).problem ?? 'the rows that it changes cannot be told from its text',
      );
  }
}

/** A query may write in its WITH alone. */
function sliceQuery({ text, fields, depth, parse }: SliceRequest): WriteSlice {
  const found = writeInWith(text, fields, depth, parse);
  if (found === null)
    return inexact(sliceFacts([fields]).problem ?? 'the rows that it changes cannot be told from its text');
  return 'kind' in found ? found : sliceWithin(found, fields, null);
}

/** What an INSERT changes besides, in its WITH; that itself overwrites nothing then. */
function sliceInsertion(request: SliceRequest): WriteSlice {
  const { text, fields, depth, parse } = request;
  const found = fields['onConflictClause'] === undefined ? writeInWith(text, fields, depth, parse) : null;
  const into = targetOf(fields['relation'], '');
  if (found === null || 'kind' in found || into === null) return sliceInsert(request);
  return sliceWithin(found, fields, into);
}

function sliceWithin({ request, write }: WriteInWith, fields: Fields, into: SliceTarget | null): WriteSlice {
  switch (write.name) {
    case 'UpdateStmt':
      return inWith(sliceRows(request, 'update'), fields, into);
    case 'DeleteStmt':
      return inWith(sliceRows(request, 'delete'), fields, into);
    case 'InsertStmt':
      return inWith(sliceInsert(request), fields, into);
    default:
      return inexact('a part of it changes data by itself');
  }
}

const VERBS = ['with', 'update', 'delete', 'insert', 'merge'];

function sliceInner(
  sliced: SliceText,
  name: 'ExplainStmt' | 'PrepareStmt' | 'CopyStmt',
  fields: Fields,
  first: number,
  parse: ParseSlice,
): WriteSlice {
  const depth = name === 'CopyStmt' ? 1 : 0;
  // The name of a prepared statement may be any of the verbs.
  const from = name === 'PrepareStmt' ? sliced.find(['as'], first, 0) + 1 : first + 1;
  const start = sliced.find(VERBS, from, depth);
  if (start < 0) return inexact('the rows that it changes cannot be told from its text');
  if (name !== 'CopyStmt') return sliceStatement(sliced, unwrap(fields['query']), start, depth, parse);
  const close = sliced.tokens.findIndex((token, i) => i > start && token.depth < depth);
  return sliceStatement(sliced.until(close), unwrap(fields['query']), start, depth, parse);
}

function sliceTruncate(fields: Fields): WriteSlice {
  const targets: SliceTarget[] = [];
  for (const item of list(fields['relations'])) {
    const relation = as(item, 'RangeVar');
    const target = relation === null ? null : targetOf(relation, '');
    if (target === null) return inexact('its target is not understood');
    targets.push(target);
  }
  return {
    kind: 'truncate',
    targets,
    cascade: fields['behavior'] === 'DROP_CASCADE',
    restartsSequences: fields['restart_seqs'] === true,
  };
}
