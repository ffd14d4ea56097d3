import type { Action, Risk } from '../api/types.ts';

/** The word says it; the colour only helps. */
export function RiskBadge({ risk }: { readonly risk: Risk | string }) {
  return <span class={`badge risk-${risk}`}>{risk}</span>;
}

export function ActionBadge({ action }: { readonly action: Action | string }) {
  return <span class={`badge action-${action}`}>{action}</span>;
}

export function StateBadge({ state }: { readonly state: string }) {
  return <span class={`badge state-${state}`}>{state.replaceAll('_', ' ')}</span>;
}
