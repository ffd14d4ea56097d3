import type { AuditEvent, Risk } from '../api/types.ts';
import { dayAndTime } from '../parts/words.ts';

const BARS = 60;
const HEIGHT = 48;
const RISKS: readonly Risk[] = ['safe', 'low', 'high', 'critical', 'forbidden'];

/** When the events that are shown were, and how risky. */
export function Density({ events }: { readonly events: readonly AuditEvent[] }) {
  const times = events.map(({ time }) => Date.parse(time));
  const fromMs = Math.min(...times);
  const toMs = Math.max(...times);
  const bars = barsOf(events, times, fromMs, Math.max(1, toMs - fromMs));
  const most = Math.max(1, ...bars.map((bar) => bar.reduce((sum, count) => sum + count, 0)));
  const label = `${events.length} events from ${dayAndTime(new Date(fromMs))} to ${dayAndTime(new Date(toMs))}`;
  return (
    <figure class="density">
      <svg viewBox={`0 0 ${BARS * 10} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
        <title>{label}</title>
        {bars.map((bar, x) => stacked(bar, x, HEIGHT / most))}
      </svg>
      <figcaption>
        <span>{dayAndTime(new Date(fromMs))}</span>
        <span>{dayAndTime(new Date(toMs))}</span>
      </figcaption>
    </figure>
  );
}

function barsOf(events: readonly AuditEvent[], times: readonly number[], fromMs: number, spanMs: number) {
  const bars = Array.from({ length: BARS }, () => RISKS.map(() => 0));
  events.forEach(({ risk }, i) => {
    const bar = bars[Math.min(BARS - 1, Math.floor(((times[i]! - fromMs) / spanMs) * BARS))]!;
    const at = RISKS.indexOf(risk);
    if (at >= 0) bar[at]! += 1;
  });
  return bars;
}

function stacked(bar: readonly number[], x: number, scale: number) {
  let top = HEIGHT;
  return bar.map((count, i) => {
    if (count === 0) return null;
    const height = Math.max(1, count * scale);
    top -= height;
    return (
      <rect
        key={`${x} ${RISKS[i]}`}
        class={`fill-${RISKS[i]}`}
        x={x * 10}
        y={top}
        width={8}
        height={height}
      />
    );
  });
}
