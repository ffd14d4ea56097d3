import { useState } from 'preact/hooks';
import type { AuditEvent } from '../api/types.ts';
import { ActionBadge, RiskBadge, StateBadge } from '../parts/badge.tsx';
import { Facts, Names } from '../parts/facts.tsx';
import { Notice } from '../parts/notice.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { duration, plural, wholeDay } from '../parts/words.ts';
import { SqlLine, SqlText } from '../sql/sql-text.tsx';
import { hrefOf } from '../state/route.ts';

/** The events, a day after the other. */
export function AuditTimeline({ events }: { readonly events: readonly AuditEvent[] }) {
  const days = [...Map.groupBy(events, ({ time }) => wholeDay(new Date(time)))];
  return (
    <>
      {days.map(([day, ofDay]) => (
        <section key={day} class="day">
          <h2>{day}</h2>
          <ol class="events">
            {ofDay.map((event) => (
              <li key={event.id}>
                <Event event={event} />
              </li>
            ))}
          </ol>
        </section>
      ))}
    </>
  );
}

const STATES: Readonly<Record<string, string>> = {
  completed: 'done',
  blocked: 'denied',
  'not-run': 'timeout',
};

function Event({ event }: { readonly event: AuditEvent }) {
  const [isOpen, setOpen] = useState(false);
  const {
    time,
    risk,
    action,
    end,
    role,
    database,
    sql,
    operation,
    duration_ms: took,
    rows,
    sqlstate,
  } = event;
  return (
    <details class="event" onToggle={(toggled) => setOpen(toggled.currentTarget.open)}>
      <summary>
        <span class="event-time">
          <Time at={time} form="clock" />
        </span>
        <span class="event-what">
          <span class="row-head">
            <RiskBadge risk={risk} />
            {action !== 'allow' && <ActionBadge action={action} />}
            {end !== 'completed' && <span class={`badge state-${STATES[end] ?? end}`}>{end}</span>}
            <span class="row-who">
              <Visible text={database === '' ? role : `${role}@${database}`} />
            </span>
            <span class="row-time">
              {sqlstate !== null && `${sqlstate} `}
              {rows !== null && `${plural(rows, 'row')} `}
              {took !== null && duration(took)}
            </span>
          </span>
          <SqlLine sql={sql ?? operation} />
        </span>
      </summary>
      {isOpen && <EventDetails event={event} />}
    </details>
  );
}

function EventDetails({ event }: { readonly event: AuditEvent }) {
  const context = Object.entries(event.context).map(([key, value]) => `${key} = ${value}`);
  return (
    <div class="event-details">
      {event.sql !== null && <SqlText sql={event.sql} />}
      {event.sql_truncated && (
        <Notice tone="warning" title="The statement was longer: the audit keeps only this beginning of it">
          <p>
            SHA-256 of the whole: <code class="hash">{event.sql_sha256 ?? 'unknown'}</code>
          </p>
        </Notice>
      )}
      <Facts
        facts={[
          { name: 'Decision', value: <Decision event={event} /> },
          { name: 'End', value: <StateBadge state={event.end} /> },
          { name: 'Taken up', value: <Time at={event.time} /> },
          { name: 'Took', value: event.duration_ms === null ? null : duration(event.duration_ms) },
          ...(event.hold_ms > 0 ? [{ name: 'Held for', value: duration(event.hold_ms) }] : []),
          { name: 'Rows', value: event.rows === null ? null : plural(event.rows, 'row') },
          { name: 'SQLSTATE', value: event.sqlstate ?? '' },
          { name: 'Why this risk', value: event.reasons.join('; ') },
          ...(event.problem === null ? [] : [{ name: 'Not understood', value: event.problem }]),
          { name: 'Operation', value: event.operations.join(', ') || event.operation },
          { name: 'Tables', value: <Names names={event.tables} none="none named" /> },
          { name: 'Application', value: event.application },
          { name: 'Client', value: event.client },
          { name: 'Protocol', value: event.protocol },
          { name: 'Parameters', value: String(event.parameters) },
          { name: 'Transaction after it', value: transactionText(event.transaction_status) },
          { name: 'Context', value: context.join('; ') },
          { name: 'Approval', value: <Link view="queue" id={event.approval_id} /> },
          { name: 'Snapshot', value: <Snapshot snapshot={event.snapshot} /> },
          {
            name: 'Session',
            value: (
              <a href={hrefOf('audit', null, { session: event.session })}>
                <code>{event.session}</code>
              </a>
            ),
          },
          { name: 'Event', value: event.id },
        ]}
      />
    </div>
  );
}

/** As ReadyForQuery has it. */
const TRANSACTIONS: Readonly<Record<string, string>> = { I: 'none', T: 'open', E: 'open, and failed' };

const transactionText = (status: string | null): string | null =>
  status === null ? null : (TRANSACTIONS[status] ?? status);

function Decision({ event: { action, would_be: wouldBe, rule, reason } }: { readonly event: AuditEvent }) {
  return (
    <span>
      <ActionBadge action={action} />
      {wouldBe !== null && ` (would be ${wouldBe})`} <Visible text={rule} />
      {reason !== '' && (
        <>
          : <Visible text={reason} />
        </>
      )}
    </span>
  );
}

function Snapshot({ snapshot }: { readonly snapshot: string | null }) {
  if (snapshot?.startsWith('snap_') === true) return <Link view="snapshots" id={snapshot} />;
  return snapshot === null ? <span class="unknown">none</span> : <Visible text={snapshot} />;
}

function Link({ view, id }: { readonly view: 'queue' | 'snapshots'; readonly id: string | null }) {
  if (id === null) return <span class="unknown">none</span>;
  return (
    <a href={hrefOf(view, id)}>
      <code>{id}</code>
    </a>
  );
}
