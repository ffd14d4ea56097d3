import type { CascadeNode, PreviewAnswer, StatementPreview } from '../api/preview.ts';
import type { Approval } from '../api/types.ts';
import { Facts } from '../parts/facts.tsx';
import { Loading } from '../parts/notice.tsx';
import { Visible } from '../parts/visible.tsx';
import { number } from '../parts/words.ts';
import type { Loaded } from '../state/load.ts';
import { OwnRows, SomeRows, Unknown } from './known.tsx';
import { usePreview } from './use-preview.ts';

/** There is little room for the last look. */
const NAMED_MAX = 6;

interface ConsequencesProps {
  readonly approval: Approval;
  /** Is told when what is shown here was found out. */
  readonly lookedAt: { current: string | null };
}

/** In short, for the last look: how much it changes, what goes along, and whether there is a way back. */
export function Consequences({ approval, lookedAt }: ConsequencesProps) {
  const [loaded] = usePreview(approval);
  const preview = loaded.value?.preview ?? null;
  lookedAt.current = preview?.computed_at ?? null;
  if (preview !== null) return <InShort preview={preview} />;
  if (isFindingOut(loaded)) return <Loading what="what it would do" />;
  const reason = 'the gateway has no preview of it';
  // Where it could not be asked for, there may be one all the same.
  const rows =
    loaded.kind === 'failed' ? <Unknown reason={reason} /> : <OwnRows count={{ kind: 'unknown', reason }} />;
  return (
    <Facts
      form="list"
      facts={[
        { name: 'Rows', value: rows },
        { name: 'Can be undone', value: <WithoutPreview approval={approval} /> },
      ]}
    />
  );
}

function isFindingOut(loaded: Loaded<PreviewAnswer>): boolean {
  if (loaded.kind === 'failed') return false;
  return loaded.kind === 'loading' || loaded.value.state === 'pending';
}

/** A preview that failed says nothing; a snapshot that cannot be taken is known without one. */
function WithoutPreview({ approval }: { readonly approval: Approval }) {
  const reason = approval.binding?.without_snapshot ?? null;
  if (reason === null) return <Unknown reason="" />;
  return (
    <span>
      <strong>no</strong>: <Visible text={reason} />
    </span>
  );
}

function InShort({
  preview: { rows, rows_bound: bound, cascades, triggers, undo },
}: {
  readonly preview: StatementPreview;
}) {
  return (
    <Facts
      form="list"
      facts={[
        { name: 'Rows', value: <OwnRows count={rows} bound={bound} /> },
        ...(cascades.kind === 'tree' && cascades.nodes.length === 0
          ? []
          : [{ name: 'By foreign keys', value: <Along cascades={cascades} /> }]),
        ...(triggers.kind === 'list' && triggers.items.length === 0
          ? []
          : [{ name: 'Triggers', value: <Fired triggers={triggers} /> }]),
        { name: 'Can be undone', value: <CanBeUndone undo={undo} /> },
      ]}
    />
  );
}

function Along({ cascades }: { readonly cascades: StatementPreview['cascades'] }) {
  if (cascades.kind === 'unknown') return <Unknown reason={cascades.reason} />;
  return (
    <span>
      {cascades.nodes.slice(0, NAMED_MAX).map((node: CascadeNode, i) => (
        <span key={node.id}>
          {i > 0 && '; '}
          <code>
            <Visible text={`${node.schema}.${node.table}`} />
          </code>{' '}
          {node.change === 'delete' ? 'loses' : 'changes'} <SomeRows count={node.rows} />
        </span>
      ))}
      {cascades.nodes.length > NAMED_MAX &&
        `; and rows of ${number(cascades.nodes.length - NAMED_MAX)} more tables, which the preview names`}
    </span>
  );
}

function Fired({ triggers }: { readonly triggers: StatementPreview['triggers'] }) {
  if (triggers.kind === 'unknown') return <Unknown reason={triggers.reason} />;
  return <Visible text={triggers.items.map(({ table, name }) => `${name} on ${table}`).join(', ')} />;
}

export function CanBeUndone({ undo }: { readonly undo: StatementPreview['undo'] }) {
  return (
    <span class={undo.possible === 'no' ? 'no-way-back' : undefined}>
      <strong>{undo.possible}</strong>
      {undo.reason !== '' && (
        <>
          : <Visible text={undo.reason} />
        </>
      )}
    </span>
  );
}
