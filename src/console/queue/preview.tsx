import { useEffect } from 'preact/hooks';
import { ApiProblem, ask } from '../api/client.ts';
import type { PreviewAnswer, StatementPreview } from '../api/preview.ts';
import type { Approval } from '../api/types.ts';
import { Facts } from '../parts/facts.tsx';
import { Failure, Loading, Notice } from '../parts/notice.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { bytes, number, plural } from '../parts/words.ts';
import { useLoad } from '../state/load.ts';
import { Rows, Unknown } from './known.tsx';
import { Cascades, Locks, Triggers } from './preview-effects.tsx';
import { Sample } from './preview-sample.tsx';

const AGAIN_MS = 1000;
/** Whoever only passes by asks for nothing. */
const PAUSE_MS = 150;

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, PAUSE_MS);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** What the statement would do, as far as the gateway could find out without doing it. */
export function Preview({ approval }: { readonly approval: Approval }) {
  const path = `/v1/approvals/${encodeURIComponent(approval.id)}/preview`;
  const [loaded, reload] = useLoad(
    async (signal) => {
      await pause(signal);
      return await ask<PreviewAnswer>(path, { signal });
    },
    [approval.id],
  );
  const isComing =
    loaded.kind === 'ready' && loaded.value.state === 'pending' && approval.state === 'pending';
  useEffect(() => {
    if (!isComing) return;
    const timer = setTimeout(reload, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [isComing, loaded]);
  return (
    <>
      <h3>What it would do</h3>
      <Answer loaded={loaded} reload={reload} />
    </>
  );
}

function Answer({
  loaded,
  reload,
}: {
  readonly loaded: ReturnType<typeof useLoad<PreviewAnswer>>[0];
  readonly reload: () => void;
}) {
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
  if (preview !== null) return <Found preview={preview} />;
  if (state === 'pending') return <Loading what="what it would do" />;
  return <Unknown reason="the gateway has no preview of it" />;
}

function Found({ preview }: { readonly preview: StatementPreview }) {
  const { rows, sample, cascades, triggers, locks, undo, parameters, computed_at, took_ms } = preview;
  return (
    <div class="preview">
      {undo.possible === 'no' && (
        <Notice tone="warning" title="It could not be undone">
          {undo.reason !== '' && (
            <p>
              <Visible text={undo.reason} />
            </p>
          )}
        </Notice>
      )}
      <Facts
        facts={[
          { name: 'Rows', value: <Rows count={rows} /> },
          { name: 'Can be undone', value: <Undo undo={undo} /> },
          ...(parameters.count === 0 ? [] : [{ name: 'Parameters', value: <Parameters {...parameters} /> }]),
        ]}
      />
      <h4>
        Rows as they are{sample.kind === 'rows' && sample.after === 'computed' && ', and as they would be'}
      </h4>
      {sample.kind === 'unknown' ? <Unknown reason={sample.reason} /> : <Sample sample={sample} />}
      <h4>Tables</h4>
      <Tables tables={preview.tables} />
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
      <h4>Locks</h4>
      {locks.kind === 'unknown' ? <Unknown reason={locks.reason} /> : <Locks locks={locks} />}
      <p class="hint">
        Found out <Time at={computed_at} /> within {number(Math.round(took_ms))} ms, in a transaction that can
        only read. It may be otherwise by the time it runs.
      </p>
    </div>
  );
}

function Undo({ undo }: { readonly undo: StatementPreview['undo'] }) {
  return (
    <span>
      <strong>{undo.possible}</strong>
      {undo.reason !== '' && (
        <>
          : <Visible text={undo.reason} />
        </>
      )}
    </span>
  );
}

function Tables({ tables }: { readonly tables: StatementPreview['tables'] }) {
  if (tables.length === 0) return <span class="unknown">none named</span>;
  return (
    <ul class="plain-list">
      {tables.map(({ schema, name, kind, cause, bytes: size, estimated_rows: about }) => (
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
