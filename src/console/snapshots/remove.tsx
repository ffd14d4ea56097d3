import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { Snapshot } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/form-dialog.tsx';
import { Notice } from '../parts/notice.tsx';
import { number } from '../parts/words.ts';
import { SqlText } from '../sql/sql-text.tsx';
import { useCell } from '../state/cell.ts';
import { mayDo, principal } from '../state/principal.ts';
import { goTo, hrefOf } from '../state/route.ts';

/** Removes a snapshot for good, of which nobody can take back that it was removed. */
export function Remove({ snapshot }: { readonly snapshot: Snapshot }) {
  const who = useCell(principal);
  const [asks, setAsks] = useState(false);
  // Offered to those alone of whom it is known.
  if (who === null || !mayDo(who, 'snapshot:write')) return null;
  return (
    <>
      <button type="button" class="danger" onClick={() => setAsks(true)}>
        Remove it…
      </button>
      {asks && <RemoveDialog snapshot={snapshot} onClose={() => setAsks(false)} />}
    </>
  );
}

interface RemoveDialogProps {
  readonly snapshot: Snapshot;
  readonly onClose: () => void;
}

function RemoveDialog({ snapshot, onClose }: RemoveDialogProps) {
  const { id, statement } = snapshot;
  const [typed, setTyped] = useState('');
  const remove = () => ask(`/v1/snapshots/${encodeURIComponent(id)}`, { method: 'DELETE' });
  const left = () => {
    announce('The snapshot is removed.');
    goTo(hrefOf('snapshots'));
  };
  return (
    <FormDialog
      title="Remove this snapshot for good?"
      verb="Remove for good"
      doing="Removing it…"
      isDangerous={true}
      isReady={typed.trim() === CONSENT}
      act={remove}
      onClose={onClose}
      onDone={left}
    >
      <SqlText sql={statement.text} />
      <Notice tone="warning" title={whatIsLost(snapshot)}>
        <p>
          Nothing in the database changes. That the snapshot was removed, and by whom, is kept in the audit.
        </p>
      </Notice>
      <label>
        Type “{CONSENT}”
        <input
          value={typed}
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          onInput={(event) => setTyped(event.currentTarget.value)}
          autofocus
        />
      </label>
    </FormDialog>
  );
}

const CONSENT = 'remove';

function whatIsLost({ tables, dropped, rolled_back: rolledBack, undone }: Snapshot): string {
  if (rolledBack) return 'Its statement was rolled back: there is nothing to undo with it';
  const already =
    undone === null ? '' : ' It is undone now; if that is undone, only this could undo it again.';
  if (dropped !== undefined)
    return `What its statement dropped can then not be brought back from here.${already}`;
  const rows = tables.reduce((sum, { before }) => sum + (before?.rows ?? 0), 0);
  const changed =
    rows === 0
      ? 'Its statement can then not be undone.'
      : `Its statement can then not be undone: ${number(rows)} ${rows === 1 ? 'row' : 'rows'} as they were before it are lost.`;
  return `${changed}${already}`;
}
