import type { Conflict, TableCounts } from './compare.ts';

/** Counts and conflicts as the API and `holdfast undo --json` give them. */
export function countsJson({ table, putBack, setBack, removed, already, conflicts }: TableCounts) {
  return { table, put_back: putBack, set_back: setBack, removed, already, conflicts };
}

export function conflictJson({ table, undoing, kind, before, after, current }: Conflict) {
  return { table, undoing: UNDOING[undoing], kind, before, after, current };
}

const UNDOING = {
  'put back': 'put_back',
  'set back': 'set_back',
  remove: 'remove',
} as const satisfies Record<Conflict['undoing'], string>;
