import { quoteName } from '../catalog/quote.ts';
import type { Change } from './definition-changes.ts';
import { comment, ENABLING, named, policy } from './definitions.ts';
import type { PolicyPart, StatedPart, TableDefinition } from './table-definition.ts';
import { extended } from './trait-steps.ts';

/** In which part of the way back each statement stands. */
type Statement = readonly [stage: 'dropped' | 'stated' | 'trait', sql: string];

const WORDS: Readonly<Partial<Record<Change['section'], string>>> = { rules: 'RULE', policies: 'POLICY' };

/** The statements by which a table gets back a trigger, a rule or a policy as it was, or loses one that it did not have. */
export function statedBack(table: TableDefinition, { section, key, before, after }: Change): Statement[] {
  const word = WORDS[section] ?? 'TRIGGER';
  const what = `${word} ${quoteName(key)} ON ${named(table)}`;
  if (before === null) return [['dropped', `DROP ${what}`]];
  if (section === 'policies') {
    const [made, ...traits] = policy({ ...(before as PolicyPart), name: key, table });
    return [['stated', made!], ...traits.map((sql): Statement => ['trait', sql])];
  }
  const was = before as StatedPart;
  // That of a part comes with its place, or with that of the whole.
  const made: Statement[] =
    after !== null || was.isPart
      ? []
      : [
          ['stated', was.definition.trim().replace(/;$/, '')],
          ...[...comment(what, was.comment), ...extended(what, was)].map((sql): Statement => ['trait', sql]),
        ];
  if (was.enabled === ((after as StatedPart | null)?.enabled ?? 'O')) return made;
  const alter = `ALTER TABLE ONLY ${named(table)} ${ENABLING[was.enabled] ?? 'ENABLE'} ${word} ${quoteName(key)}`;
  return [...made, ['trait', alter]];
}
