import type { ManifestAdded } from '../snapshot/manifest.ts';
import { tableName } from '../snapshot/summary.ts';
import type { Conflict, TableCounts } from './compare.ts';
import type { BroughtBack } from './outcome.ts';
import type { Problem } from './undo-table.ts';

/** Counts and conflicts as the API and `holdfast undo --json` give them. */
export function countsJson({ table, putBack, setBack, removed, already, conflicts }: TableCounts) {
  return { table, put_back: putBack, set_back: setBack, removed, already, conflicts };
}

export function conflictJson({ table, undoing, kind, key, before, after, current }: Conflict) {
  return { table, undoing: UNDOING[undoing], kind, key: [...key], before, after, current };
}

export function problemJson({ table, reason, forceable }: Problem) {
  return { table, reason, ...(forceable === true ? { forceable } : {}) };
}

/** Of the undo of a DROP; of all others nothing, rather than no fields. */
export function broughtBackJson(dropped: BroughtBack | undefined) {
  return {
    objects: (dropped?.objects ?? []).map(({ kind, schema, name }) => ({ kind, schema, name })),
    lacking: (dropped?.lacking ?? []).map(({ what, reason }) => ({ what, reason })),
    notes: [...(dropped?.notes ?? [])],
  };
}

/** What stays in other tables, into which code of the user's has put it. */
export function addedJson(added: readonly ManifestAdded[] = []) {
  return added.map((each) => ({ table: tableName(each), rows: each.rows }));
}

const UNDOING = {
  'put back': 'put_back',
  'set back': 'set_back',
  remove: 'remove',
} as const satisfies Record<Conflict['undoing'], string>;
