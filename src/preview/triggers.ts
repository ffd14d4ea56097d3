import type { TriggerEvent } from '../catalog/relation.ts';
import { type Relations, storedIn } from '../snapshot/cascade.ts';
import { type FiringTrigger, type Triggers, unknown } from './preview.ts';
import type { FoundRows } from './request.ts';

/** The user's own triggers that fire, on the targets and where foreign keys carry the change on. */
export function firing({ changes, besides }: FoundRows, relations: Relations, reason: string): Triggers {
  if (changes === null) return unknown(reason);
  const found = new Map<string, FiringTrigger>();
  for (const { relation, only, change, level } of changes) {
    const events: TriggerEvent[] = besides === 'truncate' ? ['truncate'] : [change.kind];
    if (level === 0 && besides === 'insert') events.push('insert');
    for (const table of new Set([relation, ...storedIn(relation, only, relations)])) {
      for (const trigger of table.triggers) {
        const fires = trigger.events.filter((event) => events.includes(event));
        if (fires.length === 0) continue;
        const name = `${table.schema}.${table.name}`;
        const { name: called, function: body, timing, level: per } = trigger;
        const key = `${name} ${called}`;
        const earlier = found.get(key)?.events ?? [];
        const all = [...new Set([...earlier, ...fires])];
        found.set(key, { table: name, name: called, function: body, timing, level: per, events: all });
      }
    }
  }
  return { kind: 'list', items: [...found.values()] };
}
