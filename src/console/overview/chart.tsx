import { clockTime } from '../parts/words.ts';
import type { Series } from './rates.ts';

export interface ChartLine {
  readonly name: string;
  readonly className: string;
  readonly values: Series;
}

interface ChartProps {
  readonly title: string;
  readonly lines: readonly ChartLine[];
  readonly times: readonly string[];
  readonly say: (value: number) => string;
}

const WIDTH = 600;
const HEIGHT = 120;

/** Lines over time. What they are now is written beside their names, so that nobody has to tell colours apart. */
export function Chart({ title, lines, times, say }: ChartProps) {
  const top = niceTop(Math.max(0, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0))));
  const now = lines.map(({ name, values }) => `${name} ${spoken(values.at(-1), say)}`).join(', ');
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div class="chart-frame">
        <span class="chart-top">{say(top)}</span>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${title}: ${now}`}
        >
          <title>{`${title}: ${now}`}</title>
          <path class="grid" d={`M0 ${HEIGHT / 2}H${WIDTH}`} />
          {lines.map(({ name, className, values }) => (
            <path key={name} class={`line ${className}`} d={pathOf(values, top)} />
          ))}
        </svg>
      </div>
      <div class="chart-times">
        <span>{times[0] === undefined ? '' : clockTime(new Date(times[0]))}</span>
        <span>{times.length < 2 ? '' : clockTime(new Date(times.at(-1)!))}</span>
      </div>
      <ul class="legend">
        {lines.map(({ name, className, values }) => (
          <li key={name}>
            <svg viewBox="0 0 16 8" width="16" height="8" aria-hidden="true">
              <path class={`line ${className}`} d="M0 4H16" />
            </svg>{' '}
            {name} <strong>{spoken(values.at(-1), say)}</strong>
          </li>
        ))}
      </ul>
    </figure>
  );
}

function spoken(value: number | null | undefined, say: (value: number) => string): string {
  return value === null || value === undefined ? '–' : say(value);
}

function pathOf(values: Series, top: number): string {
  const step = values.length < 2 ? WIDTH : WIDTH / (values.length - 1);
  let path = '';
  let isDown = false;
  values.forEach((value, i) => {
    if (value === null) {
      isDown = false;
      return;
    }
    const y = HEIGHT - (value / top) * (HEIGHT - 4) - 2;
    path += `${isDown ? 'L' : 'M'}${(i * step).toFixed(1)} ${y.toFixed(1)}`;
    // One alone would not be seen.
    if (!isDown && (values[i + 1] ?? null) === null) path += 'h2';
    isDown = true;
  });
  return path;
}

/** 1, 2 or 5 times a power of ten. */
function niceTop(most: number): number {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((times) => times * power).find((top) => top >= most) ?? most;
}
