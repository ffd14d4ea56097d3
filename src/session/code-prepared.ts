import type { Analysis } from '../sql/effects.ts';
import { tokens } from '../sql/lexer.ts';
import { literalContent } from '../sql/literal-content.ts';
import { type PreparedStatement, UNSETTLED } from './names.ts';
import type { TextsSent } from './sent.ts';
import type { SessionState } from './state.ts';

/**
 * Prepared statements that code may run: `DO $$ BEGIN EXECUTE 'EXECUTE q'; END $$` runs what its session has by that name,
 * and a string may be put together from anything, so that it may be any. Null: nobody can tell which there are.
 */
export function preparedForCode(
  state: SessionState,
  read: Analysis,
  texts: TextsSent,
): readonly (readonly [name: string, PreparedStatement])[] | null {
  if (!mayExecute(read, texts)) return [];
  if (state.namesDoubted) return null;
  const found: [string, PreparedStatement][] = [];
  for (const key of state.statements.names()) {
    const known = state.statements.lookup(key);
    if (known === UNSETTLED) return null;
    // What is executed itself stands there already.
    if (known !== null && known.text !== texts.text) found.push([nameOf(key), known]);
  }
  if (state.statements.unsettled) return null;
  return found.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The EXECUTE of PL/pgSQL is not that of SQL, which stands in a string: of the text, or of the block that its string is. */
function mayExecute({ statements }: Analysis, { text, executed, values }: TextsSent): boolean {
  if (!statements.some(({ session }) => session.some(({ kind }) => kind === 'opaque-code'))) return false;
  if (values.some((value) => EXECUTE.test(value))) return true;
  const isBlock = statements.some(({ operations }) => operations.includes('do'));
  return [text, ...executed].some((each) => {
    if (!EXECUTE.test(each)) return false;
    const strings = stringsIn(each);
    return (isBlock && !/\blanguage\b/i.test(each) ? strings.flatMap(stringsIn) : strings).some((one) =>
      EXECUTE.test(one),
    );
  });
}

const EXECUTE = /\bexecute\b/i;

function stringsIn(text: string): string[] {
  return [...tokens(text)].flatMap((token) =>
    token.kind === 'literal' ? [literalContent(text, token).text] : [],
  );
}

/** Keys have a character a byte. */
function nameOf(key: string): string {
  return Buffer.from(key, 'latin1').toString('utf8');
}
