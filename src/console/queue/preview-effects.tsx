import type { BlockedSession, CascadeNode, StatementPreview } from '../api/preview.ts';
import { Visible } from '../parts/visible.tsx';
import { span } from '../parts/words.ts';
import { SomeRows, Unknown } from './known.tsx';

export function Cascades({ nodes }: { readonly nodes: readonly CascadeNode[] }) {
  if (nodes.length === 0) return <p>Nothing.</p>;
  return <Branch nodes={nodes} parent={null} />;
}

function Branch({
  nodes,
  parent,
}: {
  readonly nodes: readonly CascadeNode[];
  readonly parent: number | null;
}) {
  const own = nodes.filter((node) => node.parent === parent && node.id !== parent);
  if (own.length === 0) return null;
  return (
    <ul class="tree">
      {own.map((node) => (
        <li key={node.id}>
          <code>
            <Visible text={`${node.schema}.${node.table}`} />
          </code>{' '}
          {node.change === 'delete' ? 'loses' : 'changes'} <SomeRows count={node.rows} />{' '}
          <span class="hint">
            by <Visible text={node.constraint} />
          </span>
          <Branch nodes={nodes} parent={node.id} />
        </li>
      ))}
    </ul>
  );
}

type TriggerList = Extract<StatementPreview['triggers'], { kind: 'list' }>['items'];

export function Triggers({ items }: { readonly items: TriggerList }) {
  if (items.length === 0) return <p>None.</p>;
  return (
    <ul class="plain-list">
      {items.map(({ table, name, timing, level, events, function: does }) => (
        <li key={`${table} ${name}`}>
          <code>
            <Visible text={name} />
          </code>{' '}
          on{' '}
          <code>
            <Visible text={table} />
          </code>
          , {timing} {events.join(' or ')} for each {level}:{' '}
          <code>
            <Visible text={does} />
          </code>
        </li>
      ))}
    </ul>
  );
}

type LockLevel = Extract<StatementPreview['locks'], { kind: 'level' }>;

export function Locks({ locks: { mode, blocks, sessions } }: { readonly locks: LockLevel }) {
  return (
    <>
      <p>
        <code>{mode}</code>, which blocks {blocks}
      </p>
      {sessions.kind === 'unknown' ? (
        <p>
          Who would wait or be waited for: <Unknown reason={sessions.reason} />
        </p>
      ) : (
        <Sessions items={sessions.items} more={sessions.more} />
      )}
    </>
  );
}

function Sessions({ items, more }: { readonly items: readonly BlockedSession[]; readonly more: boolean }) {
  if (items.length === 0) return <p>Nobody is in its way now.</p>;
  return (
    <ul class="plain-list">
      {items.map(({ pid, role, application, state, table, mode, relation, transaction_s: age }) => (
        <li key={`${pid} ${table} ${mode}`}>
          <Visible text={role ?? 'an unknown role'} />
          {application !== null && application !== '' && (
            <>
              {' '}
              (<Visible text={application} />)
            </>
          )}
          , process {pid}, {relation} <code>{mode}</code> on{' '}
          <code>
            <Visible text={table} />
          </code>
          {state !== null && `, ${state}`}
          {age !== null && `, in a transaction for ${span(age * 1000)}`}
        </li>
      ))}
      {more && <li>and more</li>}
    </ul>
  );
}
