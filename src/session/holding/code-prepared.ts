import type { HiddenConnection } from '../../catalog/connection.ts';
import { textColumns } from '../../catalog/row.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import type { Analysis } from '../../sql/effects.ts';
import { tokens } from '../../sql/parsing/lexer.ts';
import { literalContent } from '../../sql/secrets/literal-content.ts';
import { isOwnName } from '../hidden/hidden-queries.ts';
import { isAsciiName, type PreparedStatement, UNSETTLED } from '../known/names.ts';
import type { SessionState } from '../state.ts';
import type { Sent, TextsSent } from './sent.ts';

/**
 * Prepared statements that code may run: `DO $$ BEGIN EXECUTE 'EXECUTE q'; END $$` runs what its session has by that name,
 * and a string may be put together from anything, so that it may be any.
 */
export type PreparedForCode = readonly (readonly [name: string, PreparedStatement])[];

const EXECUTE = /execute/i;
/** The only language whose blocks run no text without that word. */
const OTHER_LANGUAGE = /\blanguage\b(?!\s+["']?plpgsql\b)/i;
const OTHER_ESCAPES = /\buescape\b/i;

/** Whether code that was sent may run texts; of code in the catalog, the catalog tells. */
export function sendsExecute({ status, statements }: Analysis, sent: Sent | null, texts: TextsSent): boolean {
  if (sent?.call !== undefined || status === 'empty') return false;
  if (status !== 'parsed') return true;
  if (!statements.some(({ operations }) => operations.includes('do'))) return false;
  return [texts.text, ...texts.executed].some(
    (text) =>
      [EXECUTE, OTHER_LANGUAGE, OTHER_ESCAPES].some((hint) => hint.test(text)) ||
      stringsIn(text).some((one) => EXECUTE.test(one)),
  );
}

const BY_SETTINGS = /[0-9{<]|now|today|tomorrow|yesterday|epoch|infinity|allballs/i;

/** Whether literals in it may be read by DateStyle, TimeZone and the like, as none of mere words is but those of a time. */
export function readsBySettings(text: string): boolean {
  return stringsIn(text).some((one) => BY_SETTINGS.test(one));
}

/** A literal may be continued in the next line, or hide its letters in escapes. */
function stringsIn(text: string): string[] {
  return [...tokens(text)].flatMap((token) =>
    token.kind === 'literal' ? [literalContent(text, token).text] : [],
  );
}

/** All that the session has by a name but for what is executed itself; null where the gateway has not seen all of it made. */
export async function preparedForCode(
  state: SessionState,
  connection: HiddenConnection,
  sent: Sent | null,
): Promise<PreparedForCode | null> {
  const keys = await askNames(state, connection);
  const found: [string, PreparedStatement][] = [];
  for (const key of keys) {
    const known = key === null ? null : state.statements.lookup(key);
    if (known === null || known === UNSETTLED || key === null) return null;
    if (!isSame(state, known, sent)) found.push([nameOf(key), known]);
  }
  return found.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Whether it is what is executed itself, read in the same way. */
function isSame(state: SessionState, known: PreparedStatement, sent: Sent | null): boolean {
  if (sent === null || known.text !== sent.text || known.types !== sent.types) return false;
  const { encoding, standardConformingStrings } = sent.facts ?? state.textFacts;
  if (known.facts.encoding !== encoding) return false;
  if (known.facts.standardConformingStrings !== standardConformingStrings) return false;
  return known.literalsEpoch === (sent.literalsEpoch ?? state.literalsEpoch);
}

/** What PREPARE has made may have been made by code; what a Parse has made was always seen. */
const NAMES = plainQuery(
  'SELECT name, CASE WHEN from_sql THEN statement END FROM pg_catalog.pg_prepared_statements',
);

/**
 * Asks the server for the names of its prepared statements, and forgets what is no longer what it was seen to be. Gives
 * their keys; null for a name of which it is not known how the server has put it for us.
 */
export async function askNames(
  state: SessionState,
  connection: HiddenConnection,
): Promise<readonly (string | null)[]> {
  const told = new Map<string | null, string | null>();
  await connection.run(NAMES, (row) => {
    const [name, text] = textColumns(row);
    const key = keyOf(state, name ?? '');
    const isOurs = key !== null && typeof text !== 'string' && isOwnName(key);
    if (!isOurs || state.statements.peek(key) !== null) told.set(key, text ?? null);
  });
  if (told.has(null)) state.statements.forgetNamed();
  for (const [key, text] of told) {
    const known = key === null || text === null ? null : state.statements.peek(key);
    // A Parse made what is known, or another PREPARE than the one that was seen.
    if (known !== null && (known.text !== null || known.source !== text)) state.statements.forget(key!);
  }
  state.namesDoubted = false;
  return [...told.keys()];
}

function keyOf(state: SessionState, name: string): string | null {
  if (isAsciiName(name) || state.textFacts.encoding === 'utf8') return state.sqlNameKey(name);
  return null;
}

/** Keys have a character a byte. */
function nameOf(key: string): string {
  return Buffer.from(key, 'latin1').toString('utf8');
}
