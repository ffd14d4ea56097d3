import type { ComponentChildren } from 'preact';
import { ApiProblem, isForbidden, Unreachable } from '../api/client.ts';
import type { Loaded } from '../state/load.ts';
import { Visible } from './visible.tsx';

type Tone = 'plain' | 'good' | 'warning' | 'bad';

interface NoticeProps {
  readonly tone?: Tone;
  readonly title?: string;
  readonly children?: ComponentChildren;
}

export function Notice({ tone = 'plain', title, children }: NoticeProps) {
  return (
    <div class={`notice notice-${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
      {title !== undefined && <strong>{title}</strong>}
      {children}
    </div>
  );
}

/** What went wrong, in the gateway's own words, and what can be done about it. */
export function Failure({
  error,
  retry,
}: {
  readonly error: unknown;
  readonly retry?: (() => void) | undefined;
}) {
  const { title, detail, hint, lines } = explained(error);
  const isRefused = isForbidden(error);
  return (
    <Notice tone={isRefused ? 'warning' : 'bad'} title={title}>
      {detail !== null && (
        <p>
          <Visible text={detail} />
        </p>
      )}
      {lines.length > 0 && (
        <ul>
          {lines.map((line) => (
            <li key={line}>
              <Visible text={line} />
            </li>
          ))}
        </ul>
      )}
      {hint !== null && <p>{hint}</p>}
      {retry !== undefined && !isRefused && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </Notice>
  );
}

function explained(error: unknown) {
  if (error instanceof Unreachable) {
    const title = error.isSlow ? 'The gateway takes too long to answer' : 'The gateway does not answer';
    const hint = error.isSlow ? null : 'It may be restarting; this is asked for again when it is back.';
    return { title, detail: null, hint, lines: [] };
  }
  if (!(error instanceof ApiProblem)) {
    const detail = error instanceof Error ? error.message : String(error);
    return { title: 'That did not work', detail, hint: null, lines: [] };
  }
  const { title, detail = null, hint = null, errors = [], problems = [] } = error.problem;
  const said = [...errors.map(({ field, message }) => `${field}: ${message}`), ...problems.flatMap(lineOf)];
  // What is in the one sentence is not said again.
  const lines = said.filter((line) => line !== detail);
  return { title, detail, hint, lines };
}

/** The problems of an undo: a sentence, or an object of texts. */
function lineOf(problem: unknown): string[] {
  if (typeof problem === 'string') return [problem];
  if (typeof problem !== 'object' || problem === null) return [];
  const texts = Object.values(problem).filter((value) => typeof value === 'string' && value !== '');
  return texts.length === 0 ? [] : [texts.join(': ')];
}

export function Loading({ what }: { readonly what: string }) {
  return (
    <p class="loading" role="status">
      Loading {what}…
    </p>
  );
}

interface ShowProps<T> {
  readonly loaded: Loaded<T>;
  readonly what: string;
  readonly retry?: () => void;
  readonly children: (value: T) => ComponentChildren;
}

/** What was loaded; what was there before stays in sight while it is asked for again, or that fails. */
export function Show<T>({ loaded, what, retry, children }: ShowProps<T>) {
  return (
    <>
      {loaded.kind === 'failed' && <Failure error={loaded.error} retry={retry} />}
      {loaded.kind === 'loading' && loaded.value === null && <Loading what={what} />}
      {loaded.value !== null && children(loaded.value)}
    </>
  );
}
