import type { Finding } from './explain-issues.ts';
import { compileGlob } from './glob.ts';
import type { RuleInput } from './schema.ts';

/** What the rules of a policy say that cannot be meant, though each part by itself is well-formed. */
export function checkRule(rule: RuleInput, index: number): Finding[] {
  const at = (keys: readonly string[], message: string): Finding => ({
    path: ['rules', index, ...keys],
    atKey: true,
    message,
  });
  const found: Finding[] = [];
  if (rule.hold !== undefined && rule.action !== 'hold') {
    found.push(at(['hold'], `"hold" belongs to action hold, and the action is ${rule.action}`));
  }
  if (rule.hint !== undefined && rule.action !== 'block') {
    found.push(at(['hint'], `"hint" belongs to action block, and the action is ${rule.action}`));
  }
  if (rule.snapshot !== undefined && rule.action !== 'hold' && rule.action !== 'snapshot') {
    found.push(
      at(['snapshot'], `"snapshot" belongs to action snapshot or hold, and the action is ${rule.action}`),
    );
  }
  if (rule.without_plan !== undefined) {
    const why = needsNoPlan(rule);
    if (why !== null)
      found.push(at(['without_plan'], `"without_plan" belongs to a required snapshot, and ${why}`));
  }
  if (rule.snapshot === 'off' && rule.action === 'snapshot') {
    found.push(at(['snapshot'], 'action snapshot with "snapshot: off" would do nothing; write action allow'));
  }
  if (rule.action === 'allow' && !namesAuthenticated(rule)) {
    for (const key of ['application', 'context'] as const) {
      if (rule.match?.[key] === undefined) continue;
      found.push(
        at(
          ['match', key],
          `"${key}" is the client's own word: a rule that allows by it also needs role, database or client`,
        ),
      );
    }
  }
  return found;
}

function needsNoPlan({ action, snapshot }: RuleInput): string | null {
  if (action !== 'snapshot' && action !== 'hold') return `the action is ${action}`;
  return snapshot === undefined || snapshot === 'required' ? null : `"snapshot" is ${snapshot}`;
}

/** Names that stand on more than one rule, at each rule after the first. */
export function repeatedNames(rules: readonly unknown[]): Finding[] {
  const seen = new Set<string>();
  const found: Finding[] = [];
  for (const [index, rule] of rules.entries()) {
    const name = typeof rule === 'object' && rule !== null && 'name' in rule ? rule.name : null;
    if (typeof name !== 'string') continue;
    if (seen.has(name)) {
      found.push({
        path: ['rules', index, 'name'],
        atKey: false,
        message: `another rule has the name "${name}"`,
      });
    }
    seen.add(name);
  }
  return found;
}

/** What is accepted and does less than it seems to. */
export function warnAboutRule(rule: RuleInput, index: number): Finding[] {
  const found: Finding[] = [];
  if (rule.action === 'allow' && rule.match?.rows !== undefined) {
    found.push({
      path: ['rules', index, 'match', 'rows'],
      atKey: false,
      message:
        'how many rows a write changes is known of INSERT … VALUES and of cursors alone, so that this rule allows no other write',
    });
  }
  return found;
}

/** Whether the rule names something that the server or the network vouches for; `*` names nothing. */
function namesAuthenticated(rule: RuleInput): boolean {
  const names = [rule.match?.role, rule.match?.database].filter((globs) => globs !== undefined);
  if (names.some((globs) => [globs].flat().every((glob) => !compileGlob(glob).any))) return true;
  const clients = rule.match?.client;
  return clients !== undefined && ![clients].flat().some((client) => client.endsWith('/0'));
}
