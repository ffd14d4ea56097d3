import type { Policy } from './policy.ts';
import type { Measure, RuleMatch } from './rule.ts';

/** Whether a statement may have to have a snapshot, so that it is refused where none can be stored. */
export function mayRequireSnapshots({
  mode,
  rules,
  defaults,
}: Pick<Policy, 'mode' | 'rules' | 'defaults'>): boolean {
  if (mode === 'monitor') return false;
  for (const { match, measure, draft } of rules) {
    if (draft) continue;
    if (requires(measure)) return true;
    if (matchesAll(match)) return false;
  }
  return Object.values(defaults).some(requires);
}

const requires = (measure: Measure): boolean => 'snapshot' in measure && measure.snapshot === 'required';

/** What stands behind such a rule decides nothing. */
const matchesAll = (match: RuleMatch): boolean => Object.values(match).every((key) => key === null);
