import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export const RULES = 'config/prometheus-alerts.yaml';
export const DASHBOARD = 'config/grafana-dashboard.json';

export interface Query {
  /** The alert, or the panel. */
  readonly name: string;
  readonly expr: string;
}

interface RulesFile {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[];
  }[];
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

export function alerts(): Query[] {
  const { groups } = parse(readFileSync(RULES, 'utf8')) as RulesFile;
  return groups.flatMap(({ rules }) => rules.map(({ alert, expr }) => ({ name: alert, expr })));
}

/** With what Grafana puts in the place of its variables. */
export function panels(): Query[] {
  const { panels: all } = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as { panels: readonly Panel[] };
  return all.flatMap(({ title, targets }) =>
    (targets ?? []).map(({ expr }) => ({
      name: title,
      expr: expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$(job|instance)/g, '.*'),
    })),
  );
}
