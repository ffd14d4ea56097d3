import type { Count } from '../policy/row-bands.ts';
import { behindView } from './behind-view.ts';
import { type PreviewSources, subjectOf } from './compute.ts';
import { countInserted, countOwnRows } from './own-rows.ts';
import type { RowCount } from './preview.ts';
import type { PreviewRequest } from './request.ts';
import type { Sandbox } from './sandbox.ts';
import { countWhole } from './whole-tables.ts';

/**
 * How many rows of its own targets the one statement of a text would write, as its command tag would say; counted no further
 * than `rowsMax`.
 */
export async function countWritten(
  sandbox: Sandbox,
  sources: PreviewSources,
  request: PreviewRequest,
  rowsMax: number,
): Promise<Count> {
  const [effects, ...others] = request.analysis.statements;
  if (request.analysis.status !== 'parsed' || effects === undefined || others.length > 0)
    return { reason: 'it is not one statement whose text is understood' };
  const named = await subjectOf(sandbox, sources, request, effects);
  if ('kind' in named) return named;
  const subject = (await behindView(sandbox, sources.catalog, named)) ?? named;
  if ('kind' in subject) return subject;
  const { slice } = subject;
  switch (slice.kind) {
    case 'rows':
      if (slice.inserts) return { reason: 'a MERGE that inserts does not tell how many rows' };
      return asCount(await countOwnRows(sandbox, subject, slice, rowsMax));
    case 'truncate':
      if (slice.cascade) return { reason: 'it empties what refers to its tables as well' };
      return asCount(await countWhole(sandbox, subject, rowsMax));
    case 'upsert':
      return atMost(await countInserted(sandbox, subject, slice, rowsMax));
    case 'cursor':
      return { reason: 'only the server knows the row that a cursor stands on' };
    case 'execute':
      return { reason: 'what it executes stands in another text' };
    case 'inexact':
      if (slice.inserted === undefined) return { reason: slice.reason };
      // What conflicts with rows that are there may be left out.
      return (CONFLICT.test(request.text) ? atMost : asCount)(
        await countInserted(sandbox, subject, slice.inserted, rowsMax),
      );
    default:
      return slice satisfies never;
  }
}

/** Where it only looks like that, its rows are known less closely. */
const CONFLICT = /conflict/i;

function asCount(count: RowCount): Count {
  switch (count.kind) {
    case 'exact':
      return { least: count.rows, most: count.rows };
    case 'at_least':
      return { least: count.rows + 1, most: null };
    case 'estimate':
    case 'unknown':
      return { reason: count.reason };
    default:
      return count satisfies never;
  }
}

function atMost(count: RowCount): Count {
  const found = asCount(count);
  return 'reason' in found ? found : { least: 0, most: found.most };
}
