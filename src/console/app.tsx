import { useEffect } from 'preact/hooks';
import { isForbidden, lostSince, signedOutBecause, signOut, token } from './api/client.ts';
import { waiting } from './api/live.ts';
import { AuditView } from './audit/audit-view.tsx';
import { OverviewView } from './overview/overview-view.tsx';
import { Announcements } from './parts/announce.tsx';
import { Visible } from './parts/visible.tsx';
import { clockTime, nameOf } from './parts/words.ts';
import { PolicyView } from './policy/policy-view.tsx';
import { QueueView } from './queue/queue-view.tsx';
import { SignIn } from './sign-in.tsx';
import { SnapshotsView } from './snapshots/snapshots-view.tsx';
import { useCell } from './state/cell.ts';
import { pause } from './state/pause.ts';
import { learnPrincipal, mayDo, principal } from './state/principal.ts';
import { hrefOf, type Route, route, VIEWS, type View } from './state/route.ts';
import { TokensView } from './tokens/tokens-view.tsx';

const NAMES = {
  queue: 'Queue',
  audit: 'Audit',
  snapshots: 'Snapshots',
  policy: 'Policy',
  overview: 'Overview',
  tokens: 'Tokens',
} as const satisfies Record<View, string>;

export function App() {
  const secret = useCell(token);
  return (
    <>
      {secret === null ? <SignIn because={signedOutBecause.value} /> : <Console key={secret} />}
      <Announcements />
    </>
  );
}

function Console() {
  const at = useCell(route);
  const { approvals } = useCell(waiting);
  const held = approvals?.length ?? 0;
  useEffect(() => void learnPrincipal(), []);
  useEffect(() => {
    document.title = `${held > 0 ? `(${held}) ` : ''}${NAMES[at.view]} · Holdfast`;
  }, [held, at.view]);
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <Header at={at} held={held} />
      <LostConnection />
      <PausedBanner />
      <main id="main" tabIndex={-1} class={`view view-${at.view}`}>
        <CurrentView at={at} />
      </main>
    </>
  );
}

function Header({ at, held }: { readonly at: Route; readonly held: number }) {
  const who = useCell(principal);
  const { by, error } = useCell(waiting);
  const lost = useCell(lostSince) !== null;
  const state = lost ? 'No connection' : by === 'events' ? 'Live' : 'Looking every 2 s';
  // Shown to those alone of whom it is known.
  const mayTokens = who !== null && mayDo(who, 'token:read');
  // Whoever may not see what waits is told of nothing else that is live either.
  const isShut = isForbidden(error) && !lost;
  return (
    <header class="top">
      <a class="brand" href={hrefOf('queue')}>
        Holdfast
      </a>
      <nav aria-label="Views">
        {VIEWS.filter((view) => view !== 'tokens' || mayTokens).map((view) => (
          <a key={view} href={hrefOf(view)} aria-current={view === at.view ? 'page' : undefined}>
            {NAMES[view]}
            {view === 'queue' && held > 0 && (
              <span class="count" title={`${held} waiting`}>
                {held}
              </span>
            )}
          </a>
        ))}
      </nav>
      <div class="who">
        {!isShut && (
          <span class={`pulse pulse-${lost ? 'lost' : by}`} role="status">
            {state}
          </span>
        )}
        {who !== null && (
          <span class="name" title="Who is signed in">
            {who.name}
          </span>
        )}
        <button type="button" class="quiet" onClick={() => signOut()}>
          Sign out
        </button>
      </div>
    </header>
  );
}

function LostConnection() {
  const since = useCell(lostSince);
  if (since === null) return null;
  return (
    <p class="lost" role="alert">
      The gateway has not answered since {clockTime(new Date(since))}. What is shown may be out of date; the
      console keeps trying.
    </p>
  );
}

function PausedBanner() {
  const paused = useCell(pause);
  if (paused === null) return null;
  return (
    <p class="lost" role="status">
      The gateway is paused by <Visible text={nameOf(paused.by)} />: “
      <Visible text={paused.reason} />
      ”. Only what is safe runs, and nothing can be approved.{' '}
      <a class="link-plain" href={hrefOf('overview')}>
        Overview
      </a>
    </p>
  );
}

function CurrentView({ at }: { readonly at: Route }) {
  switch (at.view) {
    case 'queue':
      return <QueueView id={at.id} />;
    case 'audit':
      return <AuditView query={at.query} />;
    case 'snapshots':
      return <SnapshotsView id={at.id} query={at.query} />;
    case 'policy':
      return <PolicyView />;
    case 'overview':
      return <OverviewView />;
    case 'tokens':
      return <TokensView />;
    default:
      return at.view satisfies never;
  }
}
