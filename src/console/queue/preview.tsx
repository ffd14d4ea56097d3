import { ApiProblem } from '../api/client.ts';
import type { PreviewAnswer, StatementPreview } from '../api/preview.ts';
import type { Approval } from '../api/types.ts';
import { Facts } from '../parts/facts.tsx';
import { FirstOf } from '../parts/first-of.tsx';
import { Failure, Loading, Notice } from '../parts/notice.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { bytes, number, plural } from '../parts/words.ts';
import type { Loaded } from '../state/load.ts';
import { CanBeUndone } from './consequences.tsx';
import { CountAgain } from './count-again.tsx';
import { OwnRows, Unknown } from './known.tsx';
import { Cascades, Locks, Triggers } from './preview-effects.tsx';
import { Sample } from './preview-sample.tsx';
import { usePreview } from './use-preview.ts';

/** What the statement would do, as far as the gateway could find out without doing it. */
export function Preview({ approval }: { readonly approval: Approval }) {
  const [loaded, reload] = usePreview(approval);
  return (
    <>
      <h3>What it would do</h3>
      <Answer loaded={loaded} reload={reload} isToldAlready={approval.binding?.without_snapshot != null} />
      {loaded.value?.preview != null && <CountAgain approval={approval} reload={reload} />}
    </>
  );
}

interface AnswerProps {
  readonly loaded: Loaded<PreviewAnswer>;
  readonly reload: () => void;
  /** That there is no way back stands above already. */
  readonly isToldAlready: boolean;
}

function Answer({ loaded, reload, isToldAlready }: AnswerProps) {
  if (loaded.kind === 'failed') {
    const isMissing = loaded.error instanceof ApiProblem && loaded.error.problem.status === 404;
    return isMissing ? (
      <Unknown reason="the gateway has no preview of it" />
    ) : (
      <Failure error={loaded.error} retry={reload} />
    );
  }
  if (loaded.value === null) return <Loading what="what it would do" />;
  const { state, preview } = loaded.value;
  if (preview !== null) return <Found preview={preview} isToldAlready={isToldAlready} />;
  if (state === 'pending') return <Loading what="what it would do" />;
  return <Unknown reason="the gateway has no preview of it" />;
}

interface FoundProps {
  readonly preview: StatementPreview;
  readonly isToldAlready: boolean;
}

function Found({ preview, isToldAlready }: FoundProps) {
  const { rows, undo, parameters, computed_at, took_ms } = preview;
  const nothing = sharedReason(preview);
  return (
    <div class="preview">
      {undo.possible === 'no' && !isToldAlready && (
        <Notice tone="warning" title="It could not be undone">
          {undo.reason !== '' && (
            <p>
              <Visible text={undo.reason} />
            </p>
          )}
        </Notice>
      )}
      <Facts
        form="list"
        facts={[
          { name: 'Rows', value: <OwnRows count={rows} bound={preview.rows_bound} /> },
          { name: 'Can be undone', value: <CanBeUndone undo={undo} /> },
          ...(parameters.count === 0 ? [] : [{ name: 'Parameters', value: <Parameters {...parameters} /> }]),
          ...(nothing === null
            ? []
            : [{ name: 'Sample, cascades, triggers', value: <Unknown reason={nothing} /> }]),
        ]}
      />
      {nothing === null && <Effects preview={preview} />}
      <h4>Tables</h4>
      <Tables tables={preview.tables} />
      <h4>Locks</h4>
      {preview.locks.kind === 'unknown' ? (
        <Unknown reason={preview.locks.reason} />
      ) : (
        <Locks locks={preview.locks} />
      )}
      <p class="hint">
        Found out <Time at={computed_at} /> within {number(Math.round(took_ms))} ms, in a transaction that can
        only read. It may be otherwise by the time it runs.
      </p>
    </div>
  );
}

/** Why all of it is unknown, where that is one reason, which then is said once. */
function sharedReason({ rows, sample, cascades, triggers }: StatementPreview): string | null {
  if (rows.kind !== 'unknown' || sample.kind !== 'unknown') return null;
  if (cascades.kind !== 'unknown' || triggers.kind !== 'unknown') return null;
  const reasons = new Set([rows, sample, cascades, triggers].map(({ reason }) => reason));
  return reasons.size === 1 ? rows.reason : null;
}

function Effects({ preview: { sample, cascades, triggers } }: { readonly preview: StatementPreview }) {
  return (
    <>
      <h4>
        Rows as they are{sample.kind === 'rows' && sample.after === 'computed' && ', and as they would be'}
      </h4>
      {sample.kind === 'unknown' ? <Unknown reason={sample.reason} /> : <Sample sample={sample} />}
      <h4>What foreign keys would take along</h4>
      {cascades.kind === 'unknown' ? (
        <Unknown reason={cascades.reason} />
      ) : (
        <Cascades nodes={cascades.nodes} />
      )}
      <h4>Triggers that would fire</h4>
      {triggers.kind === 'unknown' ? (
        <Unknown reason={triggers.reason} />
      ) : (
        <Triggers items={triggers.items} />
      )}
    </>
  );
}

const TABLES_MAX = 10;

function Tables({ tables }: { readonly tables: StatementPreview['tables'] }) {
  if (tables.length === 0) return <span class="unknown">none named</span>;
  return (
    <FirstOf items={tables} max={TABLES_MAX}>
      {(shown) => (
        <ul class="plain-list">
          {shown.map(({ schema, name, kind, cause, bytes: size, estimated_rows: about }) => (
            <li key={`${schema}.${name}`}>
              <code>
                <Visible text={`${schema}.${name}`} />
              </code>{' '}
              {kind !== 'table' && kind} {cause === 'cascade' && '(by a foreign key)'} ·{' '}
              {size === null ? 'of unknown size' : bytes(size)}
              {about !== null && `, about ${plural(about, 'row')}`}
            </li>
          ))}
        </ul>
      )}
    </FirstOf>
  );
}

function Parameters({ count, values }: StatementPreview['parameters']) {
  if (values === null) return <span>{plural(count, 'value')}, not shown to this token or not known</span>;
  return (
    <ol class="plain-list">
      {values.map((value, i) => (
        <li key={`$${i + 1}`}>
          <code>
            ${i + 1} = {value === null ? <span class="null">NULL</span> : <Visible text={value} />}
          </code>
        </li>
      ))}
    </ol>
  );
}
