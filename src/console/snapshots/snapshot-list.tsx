import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { Page, SnapshotSummary, UnreadableSnapshot } from '../api/types.ts';
import { fieldsOf, fromLocal } from '../parts/form.ts';
import { Show } from '../parts/notice.tsx';
import { type Cursors, Paging } from '../parts/paging.tsx';
import { Time } from '../parts/time.tsx';
import { TimeRange } from '../parts/time-range.tsx';
import { Visible } from '../parts/visible.tsx';
import { bytes, number, plural } from '../parts/words.ts';
import { SqlLine } from '../sql/sql-text.tsx';
import { useLoad } from '../state/load.ts';
import { goTo, hrefOf } from '../state/route.ts';

type Item = SnapshotSummary | UnreadableSnapshot;

export function SnapshotList({ query }: { readonly query: URLSearchParams }) {
  const [cursors, setCursors] = useState<Cursors>([]);
  const cursor = cursors.at(-1);
  const asked = query.toString();
  const [loaded, reload] = useLoad(
    (signal) =>
      ask<Page<Item>>('/v1/snapshots', {
        signal,
        query: { ...Object.fromEntries(query), limit: 50, cursor },
      }),
    [asked, cursor],
  );
  return (
    <>
      <h1>Snapshots</h1>
      <Filters
        key={asked}
        query={query}
        onSearch={(href) => {
          setCursors([]);
          if (href === hrefOf('snapshots', null, Object.fromEntries(query))) reload();
          else goTo(href);
        }}
      />
      <Show loaded={loaded} what="snapshots" retry={reload}>
        {({ items, next }) => (
          <>
            {items.length === 0 && <Nothing isFiltered={asked !== ''} isLast={next === null} />}
            <ol class="rows">
              {items.map((item) => (
                <li key={item.id}>{'problem' in item ? <Unreadable item={item} /> : <Row item={item} />}</li>
              ))}
            </ol>
            <div class="buttons">
              <Paging cursors={cursors} next={next} onTurn={setCursors} />
            </div>
          </>
        )}
      </Show>
    </>
  );
}

function Nothing({ isFiltered, isLast }: { readonly isFiltered: boolean; readonly isLast: boolean }) {
  if (!isLast) return <p class="empty">Nothing so far; there are older ones.</p>;
  if (isFiltered) return <p class="empty">No snapshot matches.</p>;
  return (
    <p class="empty">
      There is no snapshot. They are taken unless <code>snapshots_taken</code> is <code>off</code>.
    </p>
  );
}

function Row({ item }: { readonly item: SnapshotSummary }) {
  const { id, created_at, role, database, operation, statement, tables, table_count: all } = item;
  const more = all - tables.length;
  return (
    <a class="row" href={hrefOf('snapshots', id)}>
      <span class="row-head">
        <span class="badge">{operation}</span>
        {item.undone && <span class="badge state-done">undone</span>}
        {item.rolled_back && <span class="badge">rolled back</span>}
        <span class="row-who">
          <Visible text={tables.join(', ')} />
          {more > 0 && ` and ${number(more)} more`}
        </span>
        <span class="row-time">
          <Time at={created_at} />
        </span>
      </span>
      <SqlLine sql={statement} />
      <span class="row-rule">
        <Visible text={`${role}@${database}`} /> ·{' '}
        {item.dropped > 0 ? plural(item.dropped, 'object') : plural(item.rows_before, 'row')} ·{' '}
        {bytes(item.bytes)}
      </span>
    </a>
  );
}

function Unreadable({ item: { id, problem } }: { readonly item: UnreadableSnapshot }) {
  return (
    <div class="row">
      <span class="row-head">
        <span class="badge state-failed">unreadable</span> <code>{id}</code>
      </span>
      <span class="row-rule">
        <Visible text={problem} />
      </span>
    </div>
  );
}

const WORDS = [
  ['table', 'Table'],
  ['role', 'Role'],
  ['database', 'Database'],
  ['operation', 'Operation'],
] as const;

const MARKS = [
  ['none', 'can be undone'],
  ['undone', 'undone'],
  ['rolled_back', 'rolled back'],
] as const;

function Filters({
  query,
  onSearch,
}: {
  readonly query: URLSearchParams;
  readonly onSearch: (href: string) => void;
}) {
  const value = (name: string) => query.get(name) ?? '';
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const fields = fieldsOf(event.currentTarget as HTMLFormElement);
    const dates = { since: fromLocal(fields['since']), until: fromLocal(fields['until']) };
    onSearch(hrefOf('snapshots', null, { ...fields, ...dates }));
  };
  return (
    <form class="filters" onSubmit={submit} aria-label="Search the snapshots">
      <div class="filter-row">
        {WORDS.map(([name, label]) => (
          <label key={name}>
            {label}
            <input name={name} defaultValue={value(name)} autocomplete="off" />
          </label>
        ))}
        <label>
          State
          <select name="mark">
            <option value="">any</option>
            {MARKS.map(([mark, label]) => (
              <option key={mark} value={mark} selected={mark === value('mark')}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <TimeRange since={value('since')} until={value('until')} />
      </div>
      <div class="buttons">
        <button type="submit" class="primary">
          Search
        </button>
        <a class="button" href={hrefOf('snapshots')}>
          Everything
        </a>
      </div>
    </form>
  );
}
