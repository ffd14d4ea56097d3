import { useState } from 'preact/hooks';
import { ApiProblem, ask } from '../api/client.ts';
import type { Snapshot, UndoCounts, UndoDone, UndoPreview } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Failure, Notice } from '../parts/notice.tsx';
import { useCell } from '../state/cell.ts';
import { mayDo, principal } from '../state/principal.ts';
import { hrefOf } from '../state/route.ts';
import { BroughtBack, Conflicts, Counts, summed } from './undo-outcome.tsx';

export type OnConflict = 'fail' | 'skip' | 'overwrite';

interface Options {
  readonly on_conflict: OnConflict;
  readonly triggers: 'fire' | 'skip';
  readonly force: boolean;
}

/**
 * The way back, a step at a time: what it would do, then all of it tried and taken back, then in earnest, and only as
 * the trial was: if the counts have changed since, the gateway does nothing.
 */
type Step =
  | { readonly kind: 'start' }
  | { readonly kind: 'previewed'; readonly preview: UndoPreview }
  | { readonly kind: 'tried'; readonly preview: UndoPreview; readonly trial: UndoDone }
  | { readonly kind: 'done'; readonly done: UndoDone };

export function Undo({ snapshot, onDone }: { readonly snapshot: Snapshot; readonly onDone: () => void }) {
  const who = useCell(principal);
  const [options, setOptions] = useState<Options>({ on_conflict: 'fail', triggers: 'fire', force: false });
  const [step, setStep] = useState<Step>({ kind: 'start' });
  const [error, setError] = useState<unknown>(null);
  const [isAsking, setAsking] = useState(false);
  const [confirms, setConfirms] = useState(false);
  const path = `/v1/snapshots/${encodeURIComponent(snapshot.id)}/undo`;

  const change = (changed: Partial<Options>) => {
    setOptions({ ...options, ...changed });
    setStep({ kind: 'start' });
    setError(null);
  };
  const go = async (act: () => Promise<Step>) => {
    setAsking(true);
    setError(null);
    try {
      setStep(await act());
    } catch (thrown) {
      setError(thrown);
    } finally {
      setAsking(false);
    }
  };
  const preview = () =>
    go(async () => {
      const found = await ask<UndoPreview>(`${path}/preview`, { method: 'POST', body: options });
      return { kind: 'previewed', preview: found };
    });
  const tryIt = (found: UndoPreview) =>
    go(async () => {
      const body = { ...options, dry_run: true, expected: found.tables };
      return { kind: 'tried', preview: found, trial: await ask<UndoDone>(path, { method: 'POST', body }) };
    });
  const undo = (trial: UndoDone) =>
    go(async () => {
      const done = await ask<UndoDone>(path, {
        method: 'POST',
        body: { ...options, expected: trial.tables },
      });
      announce('Undone.');
      onDone();
      return { kind: 'done', done };
    });

  return (
    <section class="undo" aria-label="Undo">
      <h2 class="part">Undo</h2>
      {!mayDo(who, 'undo:preview') && <Notice tone="warning">Your token has no scope undo:preview.</Notice>}
      <UndoOptions options={options} onChange={change} />
      <div class="buttons">
        <button type="button" disabled={isAsking} onClick={() => void preview()}>
          1. Preview
        </button>
        <button
          type="button"
          disabled={isAsking || (step.kind !== 'previewed' && step.kind !== 'tried')}
          onClick={() => (step.kind === 'previewed' || step.kind === 'tried') && void tryIt(step.preview)}
        >
          2. Try it, and take it back
        </button>
        <button
          type="button"
          class="danger"
          disabled={isAsking || step.kind !== 'tried'}
          onClick={() => setConfirms(true)}
        >
          3. Undo…
        </button>
        {isAsking && <span role="status">Asking the database…</span>}
      </div>
      {error !== null && <UndoFailure error={error} />}
      <Shown step={step} options={options} path={path} />
      {confirms && step.kind === 'tried' && (
        <Confirm
          step={step}
          options={options}
          onClose={() => setConfirms(false)}
          onConfirm={() => {
            setConfirms(false);
            void undo(step.trial);
          }}
        />
      )}
    </section>
  );
}

interface OptionsProps {
  readonly options: Options;
  readonly onChange: (changed: Partial<Options>) => void;
}

function UndoOptions({ options, onChange }: OptionsProps) {
  return (
    <div class="filter-row undo-options">
      <label>
        Rows that have changed since
        <select
          value={options.on_conflict}
          onChange={(event) => onChange({ on_conflict: event.currentTarget.value as OnConflict })}
        >
          <option value="fail">do nothing if there are any</option>
          <option value="skip">leave them as they are</option>
          <option value="overwrite">overwrite them</option>
        </select>
      </label>
      <label>
        Triggers of the tables
        <select
          value={options.triggers}
          onChange={(event) => onChange({ triggers: event.currentTarget.value as Options['triggers'] })}
        >
          <option value="fire">fire</option>
          <option value="skip">do not fire</option>
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={options.force}
          onChange={(event) => onChange({ force: event.currentTarget.checked })}
        />
        Also if it is undone already, or was rolled back
      </label>
    </div>
  );
}

function Shown({
  step,
  options,
  path,
}: {
  readonly step: Step;
  readonly options: Options;
  readonly path: string;
}) {
  switch (step.kind) {
    case 'start':
      return null;
    case 'previewed':
      return (
        <>
          <h3>What it would do</h3>
          <Counts tables={step.preview.tables} />
          <BroughtBack found={step.preview} />
          <Conflicts preview={step.preview} path={path} options={options} />
        </>
      );
    case 'tried':
      return (
        <>
          <Notice tone="good" title="Tried: all of it went well, and was taken back" />
          <Counts tables={step.trial.tables} />
          <BroughtBack found={step.trial} />
          <Conflicts preview={step.preview} path={path} options={options} />
        </>
      );
    case 'done':
      return <Done done={step.done} />;
    default:
      return step satisfies never;
  }
}

function Done({ done }: { readonly done: UndoDone }) {
  return (
    <>
      <Notice tone="good" title="It is undone">
        {done.undo_snapshot !== null && (
          <p>
            <a href={hrefOf('snapshots', done.undo_snapshot)}>The snapshot of this undo</a> undoes it.
          </p>
        )}
      </Notice>
      <Counts tables={done.tables} />
      <BroughtBack found={done} />
    </>
  );
}

interface ConfirmProps {
  readonly step: Extract<Step, { kind: 'tried' }>;
  readonly options: Options;
  readonly onClose: () => void;
  readonly onConfirm: () => void;
}

function Confirm({ step, options, onClose, onConfirm }: ConfirmProps) {
  const { trial } = step;
  return (
    <Dialog title="Undo it?" onClose={onClose}>
      <p>{sentence(trial.tables, options.on_conflict, trial.objects.length)}</p>
      <p class="hint">
        It is done in one transaction, and only if all is as it was tried. The undo is snapshotted itself, so
        that it can be undone.
      </p>
      <div class="buttons">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="button" class="danger" onClick={onConfirm}>
          Undo
        </button>
      </div>
    </Dialog>
  );
}

function sentence(tables: readonly UndoCounts[], onConflict: OnConflict, objects: number): string {
  if (objects > 0)
    return `What was dropped comes back: ${objects === 1 ? 'one object' : `${objects} objects`}.`;
  const all = summed(tables);
  const conflicts =
    all.conflicts === 0 ? '' : ` ${all.conflicts} that have changed since: ${ON_CONFLICT[onConflict]}.`;
  return `Rows put back: ${all.put_back}; set back: ${all.set_back}; removed: ${all.removed}.${conflicts}`;
}

const ON_CONFLICT = {
  fail: 'nothing is done',
  skip: 'left as they are',
  overwrite: 'overwritten',
} as const satisfies Record<OnConflict, string>;

/** Conflicts are no failure: they say what to choose. */
function UndoFailure({ error }: { readonly error: unknown }) {
  if (error instanceof ApiProblem && error.kind === 'undo-conflicts') {
    return (
      <>
        <Notice tone="warning" title="Rows have changed since the statement; nothing was done">
          <p>Choose above to leave them as they are, or to overwrite them, and look at the preview again.</p>
        </Notice>
        <Counts tables={(error.problem.tables ?? []) as readonly UndoCounts[]} />
      </>
    );
  }
  if (error instanceof ApiProblem && error.kind === 'undo-not-configured') {
    return (
      <Notice tone="warning" title="Undo over HTTP is not configured">
        <p>
          The gateway needs <code>undo.connection</code>; <code>holdfast undo --connection</code> does
          without.
        </p>
      </Notice>
    );
  }
  return <Failure error={error} />;
}
