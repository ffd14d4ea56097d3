import { useEffect } from 'preact/hooks';
import { ask } from '../api/client.ts';
import type { Status } from '../api/types.ts';
import { Facts } from '../parts/facts.tsx';
import { Notice, Show } from '../parts/notice.tsx';
import { Time } from '../parts/time.tsx';
import { Visible } from '../parts/visible.tsx';
import { bytes, duration, number, plural, span } from '../parts/words.ts';
import { useCell } from '../state/cell.ts';
import { useLoad } from '../state/load.ts';
import { pause } from '../state/pause.ts';
import { hrefOf } from '../state/route.ts';
import { Chart } from './chart.tsx';
import { liveNumbers } from './live-numbers.ts';
import { quantiles, rates } from './rates.ts';
import { Restraints } from './restraints.tsx';

const LOOK_MS = 5000;

/** How the gateway is doing. */
export function OverviewView() {
  const [loaded, reload] = useLoad((signal) => ask<Status>('/v1/status', { signal }), []);
  useEffect(() => {
    const timer = setInterval(reload, LOOK_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <>
      <h1>Overview</h1>
      <Show loaded={loaded} what="the state of the gateway" retry={reload}>
        {(status) => <State status={status} />}
      </Show>
      <Restraints />
      <Charts />
    </>
  );
}

function State({ status }: { readonly status: Status }) {
  const { audit, policy } = status;
  const isPaused = useCell(pause) !== null;
  return (
    <>
      {status.ready ? (
        <Notice
          tone={isPaused ? 'warning' : 'good'}
          title={isPaused ? 'The gateway is up, and paused' : 'The gateway serves its clients'}
        />
      ) : (
        <Notice tone="bad" title="The gateway cannot serve its clients">
          <ul>
            {status.problems.map((problem) => (
              <li key={problem}>
                <Visible text={problem} />
              </li>
            ))}
          </ul>
        </Notice>
      )}
      <Facts
        facts={[
          {
            name: 'Sessions',
            value: `${number(status.sessions.open)} open, ${number(status.sessions.total)} in all`,
          },
          { name: 'Statements', value: number(status.statements.total) },
          { name: 'Held', value: <a href={hrefOf('queue')}>{number(status.statements.held)}</a> },
          { name: 'Policy', value: `${policy.mode}, ${policy.revision}` },
          {
            name: 'Audit',
            value: `${plural(audit.events, 'event')} since the start${audit.queue_bytes > 0 ? `, ${bytes(audit.queue_bytes)} not stored yet` : ''}`,
          },
          { name: 'Listens at', value: status.listen },
          { name: 'Server behind', value: status.upstream },
          { name: 'Started', value: <Started at={status.started_at} uptimeS={status.uptime_s} /> },
          { name: 'Version', value: status.version },
        ]}
      />
    </>
  );
}

function Started({ at, uptimeS }: { readonly at: string; readonly uptimeS: number }) {
  return (
    <span>
      <Time at={at} /> ({span(uptimeS * 1000)} ago)
    </span>
  );
}

const RISKS = ['safe', 'low', 'high', 'critical', 'forbidden'] as const;
const ACTIONS = ['allow', 'snapshot', 'hold', 'block'] as const;
const SHARES = [
  ['half', 0.5, 'line-safe'],
  ['95 of 100', 0.95, 'line-low'],
  ['99 of 100', 0.99, 'line-critical'],
] as const;

function Charts() {
  const samples = useCell(liveNumbers);
  if (samples.length < 2) {
    return (
      <>
        <h2 class="part">Live</h2>
        <p class="empty">
          Numbers come every five seconds, and charts with the second of them. They need the scopes
          approval:read and metadata:read.
        </p>
      </>
    );
  }
  const times = samples.slice(1).map(({ time }) => time);
  const perSecond = (value: number) =>
    `${value < 10 ? Math.round(value * 10) / 10 : number(Math.round(value))}/s`;
  return (
    <>
      <h2 class="part">Live</h2>
      <div class="charts">
        <Chart
          title="Statements a second, by risk"
          times={times}
          say={perSecond}
          lines={RISKS.map((risk) => ({
            name: risk,
            className: `line-${risk}`,
            values: rates(samples, ({ statements }) => statements.risk[risk] ?? 0),
          }))}
        />
        <Chart
          title="Statements a second, by decision"
          times={times}
          say={perSecond}
          lines={ACTIONS.map((action, i) => ({
            name: action,
            className: `line-${RISKS[i === 3 ? 4 : i]}`,
            values: rates(samples, ({ statements }) => statements.action[action] ?? 0),
          }))}
        />
        <Chart
          title="Time to decide a message"
          times={times}
          say={duration}
          lines={SHARES.map(([name, share, className]) => ({
            name,
            className,
            values: quantiles(samples, (sample) => sample.decision_seconds, share),
          }))}
        />
        <Chart
          title="Time until the server answers"
          times={times}
          say={duration}
          lines={SHARES.map(([name, share, className]) => ({
            name,
            className,
            values: quantiles(samples, (sample) => sample.relay_seconds, share),
          }))}
        />
        <Chart
          title="Sessions and held statements"
          times={times}
          say={(value) => number(Math.round(value))}
          lines={[
            {
              name: 'sessions',
              className: 'line-low',
              values: samples.slice(1).map((one) => one.sessions_open),
            },
            {
              name: 'held',
              className: 'line-critical',
              values: samples.slice(1).map((one) => one.statements_held),
            },
          ]}
        />
      </div>
    </>
  );
}
