import { useEffect, useMemo, useState } from 'preact/hooks';
import { isLost } from '../api/client.ts';
import { type Waiting, waiting } from '../api/live.ts';
import type { Approval } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { Failure, Loading, Notice } from '../parts/notice.tsx';
import { useCell } from '../state/cell.ts';
import { useKeys } from '../state/keys.ts';
import { mayDo, principal } from '../state/principal.ts';
import { hrefOf, moveTo, route } from '../state/route.ts';
import { ApprovalDetail } from './approval-detail.tsx';
import { DecideDialog, type Verdict } from './decide-dialog.tsx';
import { Decided } from './decided.tsx';
import { KeysHelp } from './keys-help.tsx';
import { whyNotApprove } from './may-approve.ts';
import { QueueList } from './queue-list.tsx';

interface Deciding {
  readonly verdict: Verdict;
  /** As it was when it was asked about: what changes in the list meanwhile changes nothing here. */
  readonly approval: Approval;
}

/** Side by side with the statement that is open, from this width on. */
const WIDE = '(min-width: 960px)';

/** What waits, on the left, and one of it on the right; on a phone one or the other. */
export function QueueView({ id }: { readonly id: string | null }) {
  const held = useCell(waiting);
  const [words, setWords] = useState('');
  const [shows, setShows] = useState<'waiting' | 'decided'>('waiting');
  const [deciding, setDeciding] = useState<Deciding | null>(null);
  const [helps, setHelps] = useState(false);
  const rows = useMemo(() => matching(held.approvals ?? [], words), [held.approvals, words]);
  const decide = (verdict: Verdict, approval: Approval) => setDeciding({ verdict, approval });
  useQueueKeys({ rows, decide, help: () => setHelps(true) });
  useEffect(() => {
    // On a phone the statement takes the place of the list, whose end may have been in sight.
    if (id !== null && !matchMedia(WIDE).matches) scrollTo(0, 0);
  }, [id]);
  return (
    <>
      <h1 class="hidden">Queue</h1>
      <div class={`split ${id === null ? 'split-list' : 'split-detail'}`}>
        <section class="list" aria-label="Statements">
          <div class="list-head">
            <Tabs shows={shows} count={held.approvals?.length ?? null} onShow={setShows} />
            <button type="button" class="quiet keys-button" onClick={() => setHelps(true)}>
              Keys <kbd>?</kbd>
            </button>
          </div>
          {shows === 'decided' ? (
            <Decided openId={id} />
          ) : (
            <WaitingList held={held} rows={rows} words={words} onWords={setWords} />
          )}
        </section>
        <section class="detail" aria-label="The statement that is open">
          {id === null ? (
            <p class="empty">Open a statement to see what it would do.</p>
          ) : (
            <ApprovalDetail key={id} id={id} held={held.approvals} onDecide={decide} />
          )}
        </section>
      </div>
      {deciding !== null && <DecideDialog {...deciding} onClose={() => setDeciding(null)} />}
      {helps && <KeysHelp onClose={() => setHelps(false)} />}
    </>
  );
}

interface TabsProps {
  readonly shows: 'waiting' | 'decided';
  readonly count: number | null;
  readonly onShow: (shows: 'waiting' | 'decided') => void;
}

function Tabs({ shows, count, onShow }: TabsProps) {
  return (
    <fieldset class="choice">
      <legend class="hidden">Which statements</legend>
      <button type="button" aria-pressed={shows === 'waiting'} onClick={() => onShow('waiting')}>
        Waiting{count === null ? '' : ` (${count})`}
      </button>
      <button type="button" aria-pressed={shows === 'decided'} onClick={() => onShow('decided')}>
        Earlier
      </button>
    </fieldset>
  );
}

interface WaitingListProps {
  readonly held: Waiting;
  readonly rows: readonly Approval[];
  readonly words: string;
  readonly onWords: (words: string) => void;
}

function WaitingList({ held, rows, words, onWords }: WaitingListProps) {
  if (held.approvals === null) {
    return held.error === null ? <Loading what="what waits" /> : <Failure error={held.error} />;
  }
  return (
    <>
      <label class="search">
        <span class="hidden">Find in the queue</span>
        <input
          type="search"
          value={words}
          placeholder="Find by SQL, role, table, rule…"
          onInput={(event) => onWords(event.currentTarget.value)}
        />
      </label>
      {/* That the gateway does not answer stands at the top already. */}
      {held.error !== null && !isLost(held.error) && <Failure error={held.error} />}
      {held.isCut && <Notice tone="warning">More statements wait than can be shown here.</Notice>}
      {rows.length > 0 && <QueueList rows={rows} />}
      {rows.length === 0 && (
        <p class="empty">
          {words === ''
            ? 'Nothing waits. Statements appear here as they are held.'
            : 'Nothing that waits matches.'}
        </p>
      )}
    </>
  );
}

function matching(approvals: readonly Approval[], words: string): readonly Approval[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (wanted.length === 0) return approvals;
  return approvals.filter((one) => {
    const { id, statement, role, database, application, client, rule, reason, risk, tables } = one;
    const text = [id, statement, role, database, application, client, rule, reason, risk, ...tables]
      .join('\n')
      .toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
}

interface KeyFacts {
  readonly rows: readonly Approval[];
  readonly decide: (verdict: Verdict, approval: Approval) => void;
  readonly help: () => void;
}

function useQueueKeys({ rows, decide, help }: KeyFacts): void {
  // The address, and not what was drawn last: keys may come faster than that.
  const currentId = () => route.value.id ?? focusedId();
  const move = (by: number) => {
    const at = rows.findIndex((row) => row.id === currentId());
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
    if (next === undefined) return;
    document.querySelector<HTMLElement>(`[data-row="${CSS.escape(next.id)}"]`)?.focus();
    if (matchMedia(WIDE).matches) moveTo(hrefOf('queue', next.id));
  };
  const ask = (verdict: Verdict) => (event: KeyboardEvent) => {
    const approval = rows.find((row) => row.id === currentId());
    if (approval === undefined || event.repeat) return;
    const whyNot = verdict === 'approve' ? whyNotApprove(approval, principal.value) : null;
    if (whyNot === null && mayDo(principal.value, 'approval:write')) decide(verdict, approval);
    else announce(whyNot ?? 'Your token has no scope approval:write.', 'bad');
  };
  useKeys({ j: () => move(1), k: () => move(-1), a: ask('approve'), d: ask('deny'), '?': help });
}

function focusedId(): string | undefined {
  const row = document.activeElement?.closest('[data-row]');
  return row instanceof HTMLElement ? row.dataset['row'] : undefined;
}
