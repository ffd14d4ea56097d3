import { useEffect, useState } from 'preact/hooks';
import { ask, isForbidden } from '../api/client.ts';
import { onServerEvent } from '../api/live.ts';
import type { Page } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { Notice, Show } from '../parts/notice.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { nameOf } from '../parts/words.ts';
import { useCell } from '../state/cell.ts';
import { type Loaded, useLoad } from '../state/load.ts';
import { learnPause, type Paused } from '../state/pause.ts';
import { mayDo, principal } from '../state/principal.ts';
import { PauseDialog, QuarantineDialog, ReasonDialog } from './restraint-dialogs.tsx';

export interface Quarantine {
  readonly id: string;
  readonly role: string;
  readonly application: string | null;
  readonly reason: string;
  readonly by: string;
  readonly since: string;
  readonly until: string | null;
}

type Asking = 'pause' | 'resume' | 'quarantine' | Quarantine | null;

/** Who is stopped: everybody, by a pause, or a role, in quarantine; and letting go again. */
export function Restraints() {
  const who = useCell(principal);
  const [pause, reloadPause] = useLoad(
    (signal) => ask<{ readonly paused: Paused | null }>('/v1/pause', { signal }),
    [],
  );
  const [quarantines, reloadQuarantines] = useLoad(
    (signal) => ask<Page<Quarantine>>('/v1/quarantine', { signal }),
    [],
  );
  const [asking, setAsking] = useState<Asking>(null);
  const reload = () => {
    reloadPause();
    reloadQuarantines();
    void learnPause();
  };
  useEffect(
    () =>
      onServerEvent(({ name }) => {
        if (name === 'pause' || name === 'quarantine' || name === 'reset') reload();
      }),
    [],
  );
  const close = () => setAsking(null);
  const done = (text: string) => {
    announce(text);
    close();
    reload();
  };
  return (
    <>
      <h2 class="part">Pause and quarantine</h2>
      <Optional loaded={pause} what="whether it is paused" retry={reloadPause}>
        {({ paused }) => <Pause paused={paused} may={mayDo(who, 'pause:write')} onAsk={setAsking} />}
      </Optional>
      <Optional loaded={quarantines} what="the quarantines" retry={reloadQuarantines}>
        {({ items }) => <Quarantines items={items} may={mayDo(who, 'quarantine:write')} onAsk={setAsking} />}
      </Optional>
      {asking === 'pause' && <PauseDialog onClose={close} onDone={done} />}
      {asking === 'quarantine' && <QuarantineDialog onClose={close} onDone={done} />}
      {asking === 'resume' && (
        <ReasonDialog
          title="Let statements run again?"
          verb="Resume"
          act={(comment) => ask('/v1/resume', { method: 'POST', body: comment === '' ? {} : { comment } })}
          onClose={close}
          onDone={() => done('Statements run again.')}
        />
      )}
      {asking !== null && typeof asking === 'object' && (
        <ReasonDialog
          title={`Lift the quarantine of ${asking.role}?`}
          verb="Lift"
          act={(comment) =>
            ask(`/v1/quarantine/${encodeURIComponent(asking.id)}`, { method: 'DELETE', query: { comment } })
          }
          onClose={close}
          onDone={() => done('The quarantine is lifted.')}
        />
      )}
    </>
  );
}

interface OptionalProps<T> {
  readonly loaded: Loaded<T>;
  readonly what: string;
  readonly retry: () => void;
  readonly children: (value: T) => preact.ComponentChildren;
}

/** A token may not be allowed to see it, which is no failure. */
function Optional<T>({ loaded, what, retry, children }: OptionalProps<T>) {
  if (loaded.kind === 'failed' && isForbidden(loaded.error)) {
    return <p class="hint">Your token does not allow to see {what}.</p>;
  }
  return (
    <Show loaded={loaded} what={what} retry={retry}>
      {children}
    </Show>
  );
}

interface PauseProps {
  readonly paused: Paused | null;
  readonly may: boolean;
  readonly onAsk: (asking: Asking) => void;
}

function Pause({ paused, may, onAsk }: PauseProps) {
  if (paused === null) {
    return (
      <div class="buttons">
        <span>Nothing is paused.</span>
        <button type="button" class="danger" disabled={!may} onClick={() => onAsk('pause')}>
          Pause everything…
        </button>
      </div>
    );
  }
  return (
    <Notice tone="bad" title="The gateway is paused: only what is safe runs">
      <p>
        “<Visible text={paused.reason} />
        ”, by <Visible text={nameOf(paused.by)} />, since <Time at={paused.since} />
      </p>
      <button type="button" disabled={!may} onClick={() => onAsk('resume')}>
        Resume…
      </button>
    </Notice>
  );
}

interface QuarantinesProps {
  readonly items: readonly Quarantine[];
  readonly may: boolean;
  readonly onAsk: (asking: Asking) => void;
}

function Quarantines({ items, may, onAsk }: QuarantinesProps) {
  return (
    <>
      {items.map((one) => (
        <Notice key={one.id} tone="warning" title={`In quarantine: ${whoOf(one)}`}>
          <p>
            “<Visible text={one.reason} />
            ”, by <Visible text={nameOf(one.by)} />, since <Time at={one.since} />
            {one.until === null ? ', until it is lifted' : ', until '}
            {one.until !== null && <Time at={one.until} />}
          </p>
          <button type="button" disabled={!may} onClick={() => onAsk(one)}>
            Lift…
          </button>
        </Notice>
      ))}
      <div class="buttons">
        {items.length === 0 && <span>Nobody is in quarantine.</span>}
        <button type="button" disabled={!may} onClick={() => onAsk('quarantine')}>
          Put a role in quarantine…
        </button>
      </div>
    </>
  );
}

function whoOf({ role, application }: Quarantine): string {
  return application === null ? role : `${role}, application ${application}`;
}
