import type { HiddenEnd } from '../hidden/hidden-exchange.ts';
import type { HiddenQueries } from '../hidden/hidden-queries.ts';
import type { PreparedStatement } from './names.ts';

/** The types of a statement's parameters, as the server has told them of the statement by that name. */
export interface ToldTypes {
  readonly name: string;
  readonly types: readonly number[];
}

/**
 * The types as the server has told them since the statement was parsed by that name as it is on the wire, from when on they stay
 * so, whatever becomes of its tables; null where it has not been asked.
 */
export function toldTypes({ told }: PreparedStatement, name: Buffer): readonly number[] | null {
  return told != null && told.name === name.latin1Slice() ? told.types : null;
}

/** Asks for them, where that has not been done. Where the server fails to say what the statement gives, it has told them before. */
export async function typesOf(
  hidden: HiddenQueries,
  statement: PreparedStatement,
  name: Buffer,
  end: HiddenEnd,
): Promise<readonly number[]> {
  const told = toldTypes(statement, name);
  if (told !== null) return told;
  return await hidden.describe(name, end, (types) => {
    statement.told = { name: name.latin1Slice(), types };
  });
}
