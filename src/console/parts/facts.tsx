import type { ComponentChildren } from 'preact';
import { FirstOf } from './first-of.tsx';
import { Visible } from './visible.tsx';

export interface Fact {
  readonly name: string;
  /** Null is shown as unknown, an empty text as none. */
  readonly value: ComponentChildren;
}

interface FactsProps {
  readonly facts: readonly Fact[];
  /** Beside each other, or one below the other where their values are sentences. */
  readonly form?: 'grid' | 'list';
}

/** What is known of something, by name. What the gateway does not say is unknown, and never taken for nothing. */
export function Facts({ facts, form = 'grid' }: FactsProps) {
  return (
    <dl class={`facts facts-${form}`}>
      {facts.map(({ name, value }) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{shown(value)}</dd>
        </div>
      ))}
    </dl>
  );
}

function shown(value: ComponentChildren): ComponentChildren {
  if (value === null || value === undefined) return <span class="unknown">unknown</span>;
  if (value === '') return <span class="unknown">none</span>;
  return typeof value === 'string' ? <Visible text={value} /> : value;
}

const NAMES_MAX = 10;

/** A list of names in one line. */
export function Names({
  names,
  none = 'none',
}: {
  readonly names: readonly string[];
  readonly none?: string;
}) {
  if (names.length === 0) return <span class="unknown">{none}</span>;
  return (
    <FirstOf items={names} max={NAMES_MAX}>
      {(shown) => (
        <span>
          {shown.map((name, i) => (
            <span key={name}>
              {i > 0 && ', '}
              <code>
                <Visible text={name} />
              </code>
            </span>
          ))}{' '}
        </span>
      )}
    </FirstOf>
  );
}
