import type { Analysis } from '../../sql/effects.ts';
import { type PreparedStatement, UNSETTLED } from '../known/names.ts';
import { executedNames } from '../known/understanding.ts';
import type { SessionState } from '../state.ts';
import type { PreparedForCode } from './code-prepared.ts';

/** The text that approvers are shown: the client's without its passwords, and behind it what its EXECUTEs run. */
export function shownText(
  state: SessionState,
  read: Analysis,
  analysis: Analysis,
  text: string | null,
): string {
  const parts = [analysis.redacted ?? text ?? ''];
  for (const name of executedNames(read)) {
    const key = state.sqlNameKey(name);
    const known = key === null ? null : state.statements.lookup(key);
    parts.push(executedText(name, known === UNSETTLED ? null : known));
  }
  return parts.join(BETWEEN);
}

/** What is shown of a statement, and behind it what its code may run. */
export function withShownPrepared(shown: string, prepared: PreparedForCode | null): string {
  const parts = (prepared ?? []).map(([name, known]) => executedText(name, known, 'may be run by its code'));
  return [shown, ...parts].join(BETWEEN);
}

const BETWEEN = '\n\n';

function executedText(name: string, known: PreparedStatement | null, how = 'runs'): string {
  const text = known?.analysis.redacted ?? known?.text ?? known?.source ?? null;
  // A name may hold what would end a comment.
  const runs = `-- EXECUTE ${JSON.stringify(name)} ${how}`;
  if (known === null || text === null) return `${runs} what the gateway has not seen prepared.`;
  const types = declaredTypes(known.types);
  return `${runs}${types.length === 0 ? '' : `, with parameters of the types ${types.join(', ')} (pg_type.oid)`}:\n${text}`;
}

/** Of a Parse: their number, and the OID of each, 0 for one that the server is to find. */
function declaredTypes(types: string): readonly number[] {
  const bytes = Buffer.from(types, 'latin1');
  const found: number[] = [];
  for (let at = 2; at + 4 <= bytes.length; at += 4) found.push(bytes.readUInt32BE(at));
  return found;
}
