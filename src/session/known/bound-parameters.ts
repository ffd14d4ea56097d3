import type { StatementParameters } from '../../snapshot/plan.ts';
import type { Bind } from '../../wire/bind.ts';

/** Null where their number is not that of the statement, which the server refuses at the Bind. */
export function parametersOf(bind: Bind, types: readonly number[]): StatementParameters | null {
  const { parameters: values, parameterFormats } = bind;
  if (values.length !== types.length) return null;
  const format = (i: number) => parameterFormats[parameterFormats.length === 1 ? 0 : i] ?? 0;
  return { types, values, formats: values.map((_, i) => (format(i) === 1 ? 1 : 0)) };
}
