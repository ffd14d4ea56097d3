import { type HiddenConnection, type HiddenQuery, HiddenQueryError } from '../catalog/connection.ts';
import { textColumns } from '../catalog/row.ts';

/** The connection that the trash works on, whoever's it is: a client's own, or that of a person who restores. */
export interface TrashSession {
  /** Runs one statement, its parameters as text; its rows as text. */
  query(
    sql: string,
    parameters?: readonly (string | null)[],
  ): Promise<readonly (readonly (string | null)[])[]>;
  /** What the server said, where an error of `query` is its refusal, or null. */
  refusal(error: unknown): string | null;
}

export function hiddenQuery(sql: string, parameters: readonly (string | null)[] = []): HiddenQuery {
  return {
    sql,
    parameterTypes: [],
    parameters: parameters.map((value) => (value === null ? null : Buffer.from(value, 'utf8'))),
    parameterFormats: [],
    resultFormats: [],
  };
}

export function onHidden(connection: HiddenConnection): TrashSession {
  return {
    async query(sql, parameters = []) {
      const rows: (string | null)[][] = [];
      await connection.run(hiddenQuery(sql, parameters), (row) => {
        rows.push(textColumns(row));
      });
      return rows;
    },
    refusal: (error) => (error instanceof HiddenQueryError ? error.message : null),
  };
}

/** The one value of a query that gives JSON. */
export async function json<T>(
  session: TrashSession,
  sql: string,
  parameters: readonly (string | null)[] = [],
): Promise<T> {
  const rows = await session.query(sql, parameters);
  return JSON.parse(rows[0]?.[0] ?? 'null') as T;
}
