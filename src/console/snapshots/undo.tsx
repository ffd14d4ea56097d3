import { useState } from 'preact/hooks';
import { ApiProblem, ask } from '../api/client.ts';
import type { Snapshot, UndoCounts, UndoDone, UndoPreview } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Failure, Notice } from '../parts/notice.tsx';
import { Visible } from '../parts/visible.tsx';
import { number } from '../parts/words.ts';
import { SqlText } from '../sql/sql-text.tsx';
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
      setStep({ kind: 'start' });
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

  // The gateway would refuse it: what is to become of those rows has to be said first.
  const stops =
    step.kind === 'previewed' &&
    options.on_conflict === 'fail' &&
    summed(step.preview.tables).conflicts + step.preview.conflicts.length > 0;

  return (
    <section class="undo" aria-label="Undo">
      <h2 class="part">Undo</h2>
      {!mayDo(who, 'undo:preview') && <Notice tone="warning">Your token has no scope undo:preview.</Notice>}
      <UndoOptions
        options={options}
        isOver={snapshot.undone !== null || snapshot.rolled_back}
        onChange={change}
      />
      <Steps
        step={step}
        stops={stops}
        isAsking={isAsking}
        onPreview={() => void preview()}
        onTry={(found) => void tryIt(found)}
        onUndo={() => setConfirms(true)}
      />
      {error !== null && <UndoFailure error={error} options={options} />}
      {stops && (
        <Notice tone="warning" title="Rows have changed since the statement, so that nothing would be done">
          <p>
            They are shown below. Choose above to leave them as they are, or to overwrite them, and look at
            the preview again.
          </p>
        </Notice>
      )}
      <Shown step={step} options={options} path={path} />
      {confirms && step.kind === 'tried' && (
        <Confirm
          step={step}
          options={options}
          snapshot={snapshot}
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

interface StepsProps {
  readonly step: Step;
  /** Of what the preview has found, so that the next step makes no sense. */
  readonly stops: boolean;
  readonly isAsking: boolean;
  readonly onPreview: () => void;
  readonly onTry: (found: UndoPreview) => void;
  readonly onUndo: () => void;
}

/** Each step allows the next one. */
function Steps({ step, stops, isAsking, onPreview, onTry, onUndo }: StepsProps) {
  const found = step.kind === 'previewed' || step.kind === 'tried' ? step.preview : null;
  return (
    <div class="buttons">
      <button
        type="button"
        class={step.kind === 'start' ? 'primary' : undefined}
        disabled={isAsking}
        onClick={onPreview}
      >
        1. Preview
      </button>
      <button
        type="button"
        class={step.kind === 'previewed' && !stops ? 'primary' : undefined}
        disabled={isAsking || stops || found === null}
        onClick={() => found !== null && onTry(found)}
      >
        2. Try it, and take it back
      </button>
      <button type="button" class="danger" disabled={isAsking || step.kind !== 'tried'} onClick={onUndo}>
        3. Undo…
      </button>
      {isAsking && <span role="status">Asking the database…</span>}
    </div>
  );
}

interface OptionsProps {
  readonly options: Options;
  /** It is undone already, or was rolled back. */
  readonly isOver: boolean;
  readonly onChange: (changed: Partial<Options>) => void;
}

function UndoOptions({ options, isOver, onChange }: OptionsProps) {
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
      {(isOver || options.force) && (
        <label class="check">
          <input
            type="checkbox"
            checked={options.force}
            onChange={(event) => onChange({ force: event.currentTarget.checked })}
          />
          All the same, though it is undone already or was rolled back
        </label>
      )}
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
  readonly snapshot: Snapshot;
  readonly onClose: () => void;
  readonly onConfirm: () => void;
}

function Confirm({ step, options, snapshot, onClose, onConfirm }: ConfirmProps) {
  const { trial } = step;
  return (
    <Dialog title="Undo it?" onClose={onClose}>
      <SqlText sql={snapshot.statement.text} />
      <p>In the database {snapshot.session.database}:</p>
      <ul>
        {changes(trial.tables, options.on_conflict, trial.objects.length).map((change) => (
          <li key={change}>{change}</li>
        ))}
        <li>Triggers of the tables {options.triggers === 'fire' ? 'fire' : 'do not fire'}</li>
      </ul>
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

/** What it changes, and nothing of what it does not. */
function changes(tables: readonly UndoCounts[], onConflict: OnConflict, objects: number): string[] {
  const { put_back, set_back, removed, conflicts } = summed(tables);
  const said = [
    ['Dropped objects that come back', objects],
    ['Rows that are gone and come back', put_back],
    ['Rows that become what they were', set_back],
    ['Rows that the statement added, and that are removed', removed],
    [`Rows that have changed since, and ${ON_CONFLICT[onConflict]}`, conflicts],
  ] as const;
  const changed = said.flatMap(([what, count]) => (count === 0 ? [] : [`${what}: ${number(count)}`]));
  return changed.length === 0 ? ['Nothing changes'] : changed;
}

const ON_CONFLICT = {
  fail: 'stop it',
  skip: 'are left as they are',
  overwrite: 'are overwritten',
} as const satisfies Record<OnConflict, string>;

/** Conflicts are no failure: they say what to choose. */
interface UndoFailureProps {
  readonly error: unknown;
  readonly options: Options;
}

function UndoFailure({ error, options: { triggers, on_conflict } }: UndoFailureProps) {
  if (error instanceof ApiProblem && error.kind === 'undo-conflicts') {
    return (
      <>
        {on_conflict === 'overwrite' ? (
          <Notice tone="warning" title="Other rows hold values that have to be unique; nothing was done">
            <p>Change or remove those rows first, or choose above to leave what has changed as it is.</p>
          </Notice>
        ) : (
          <Notice tone="warning" title="Rows have changed since the statement; nothing was done">
            <p>
              Choose above to leave them as they are, or to overwrite them, and look at the preview again.
            </p>
          </Notice>
        )}
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
  if (error instanceof ApiProblem && error.problem.hint?.startsWith('force') === true) {
    return (
      <Notice tone="warning" title="It cannot be undone as things are">
        <p>
          <Visible text={error.message} />.
        </p>
        <p>With “all the same” above it is undone nevertheless.</p>
      </Notice>
    );
  }
  const mayBeTriggers =
    triggers === 'fire' && error instanceof ApiProblem && error.message.includes('a trigger');
  return (
    <>
      <Failure error={error} />
      {mayBeTriggers && (
        <Notice title="The tables' own triggers may be the cause">
          <p>
            What they once did to these tables is in the snapshot as well, and need not be done again. Choose
            above that triggers do not fire, and look at the preview again.
          </p>
        </Notice>
      )}
    </>
  );
}
