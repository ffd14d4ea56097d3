import { useState } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { Explanation } from '../api/types.ts';
import { ActionBadge, RiskBadge } from '../parts/badge.tsx';
import { Facts, Names } from '../parts/facts.tsx';
import { fieldsOf } from '../parts/form.ts';
import { Failure, Notice } from '../parts/notice.tsx';
import { Visible } from '../parts/visible.tsx';
import { plural, span } from '../parts/words.ts';
import { SqlText } from '../sql/sql-text.tsx';

const SESSION = [
  ['role', 'Role', 'postgres'],
  ['database', 'Database', 'postgres'],
  ['application', 'Application', ''],
  ['client', 'Client address', '127.0.0.1'],
] as const;

/** What a statement would do and what policy says of it; nothing is run. */
export function Explain() {
  const [found, setFound] = useState<Explanation | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const sql = (form.elements.namedItem('sql') as HTMLTextAreaElement).value;
    setAsking(true);
    setError(null);
    try {
      setFound(await ask<Explanation>('/v1/analyze', { method: 'POST', body: { ...fieldsOf(form), sql } }));
    } catch (thrown) {
      setError(thrown);
      setFound(null);
    } finally {
      setAsking(false);
    }
  };
  return (
    <>
      <form onSubmit={submit} class="explain">
        <label for="sql">Statement</label>
        <textarea
          id="sql"
          name="sql"
          rows={5}
          required
          spellcheck={false}
          placeholder="delete from orders where placed_at < now() - interval '1 year'"
        />
        <div class="filter-row">
          {SESSION.map(([name, label, usual]) => (
            <label key={name}>
              {label}
              <input name={name} placeholder={usual} autocomplete="off" />
            </label>
          ))}
        </div>
        <div class="buttons">
          <button type="submit" class="primary" disabled={isAsking}>
            {isAsking ? 'Asking…' : 'Explain'}
          </button>
          <span class="hint">Nothing is run.</span>
        </div>
      </form>
      {error !== null && <Failure error={error} />}
      {found !== null && <Explained found={found} />}
    </>
  );
}

function Explained({ found: { analysis, decision, by_rows: byRows = [] } }: { readonly found: Explanation }) {
  return (
    <div class="explained" aria-live="polite">
      <p class="verdict">
        <ActionBadge action={decision.action} /> <RiskBadge risk={analysis.risk} /> by{' '}
        <strong>
          <Visible text={decision.rule} />
        </strong>
        {decision.reason !== '' && (
          <>
            : <Visible text={decision.reason} />
          </>
        )}
      </p>
      {decision.would_be !== null && (
        <Notice tone="warning">In monitor mode it passes; otherwise it would be: {decision.would_be}.</Notice>
      )}
      {analysis.problem !== '' && (
        <Notice tone="warning" title={`It is ${analysis.status}`}>
          <p>
            <Visible text={analysis.problem} />
          </p>
        </Notice>
      )}
      <Facts
        facts={[
          { name: 'Operation', value: analysis.operation },
          { name: 'Tables', value: <Names names={analysis.tables} /> },
          ...acting(decision),
        ]}
      />
      {byRows.length > 0 && (
        <Notice title="It hangs on how many rows it changes">
          <p>They are counted before it is decided. The decision above is for where they cannot be.</p>
          <Facts facts={byRows.map((band) => ({ name: rowsText(band), value: <Band of={band} /> }))} />
        </Notice>
      )}
      {analysis.statements.map((statement, i) => (
        <Statement key={`statement ${i + 1}`} statement={statement} />
      ))}
    </div>
  );
}

type BandOfRows = NonNullable<Explanation['by_rows']>[number];

function rowsText({ least, most }: BandOfRows): string {
  if (most === null) return least === 0 ? 'Any number' : `More than ${least - 1}`;
  return least === most ? String(least) : `${least} to ${most}`;
}

function Band({ of: { decision } }: { readonly of: BandOfRows }) {
  return (
    <>
      <ActionBadge action={decision.action} /> by <Visible text={decision.rule} />
    </>
  );
}

function acting(decision: Explanation['decision']) {
  const {
    snapshot,
    without_plan: withoutPlan,
    hold_mode: mode,
    timeout_ms: timeoutMs,
    approvals,
    hint,
  } = decision;
  return [
    ...(snapshot === undefined ? [] : [{ name: 'Snapshot', value: snapshot.replace('_', ' ') }]),
    ...(withoutPlan === undefined ? [] : [{ name: 'Where none can be taken', value: withoutPlan }]),
    ...(mode === undefined ? [] : [{ name: 'How it is held', value: mode }]),
    ...(timeoutMs === undefined ? [] : [{ name: 'For at most', value: span(timeoutMs) }]),
    ...(approvals === undefined ? [] : [{ name: 'Needs', value: plural(approvals, 'approval') }]),
    ...(hint === undefined || hint === '' ? [] : [{ name: 'Hint to the client', value: hint }]),
  ];
}

const PREDICATES: Readonly<Record<string, string>> = {
  'not-applicable': 'does not apply',
  none: 'there is none: all rows',
  tautology: 'it is always true: all rows',
  scoped: 'some rows',
  cursor: 'the row of a cursor',
};

function Statement({ statement }: { readonly statement: Explanation['analysis']['statements'][number] }) {
  const { text, risk, operations, operation, reasons, writes, reads, functions, predicate } = statement;
  return (
    <>
      <SqlText sql={text} />
      <Facts
        facts={[
          { name: 'Risk', value: <RiskBadge risk={risk} /> },
          { name: 'Why', value: reasons.join('; ') },
          { name: 'Operations', value: operations.join(', ') || operation },
          { name: 'Writes', value: <Names names={writes} /> },
          { name: 'Reads', value: <Names names={reads} /> },
          { name: 'Calls', value: <Names names={functions} /> },
          { name: 'Condition', value: PREDICATES[predicate] ?? predicate },
        ]}
      />
    </>
  );
}
