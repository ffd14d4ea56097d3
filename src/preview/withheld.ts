import type { FunctionFacts } from '../catalog/catalog.ts';
import type { Relation } from '../catalog/relation.ts';
import type { Assignment } from '../sql/slices/slice.ts';
import type { FunctionName } from '../sql/slices/slice-facts.ts';
import type { Preview, Sample, Withheld } from './preview.ts';

/** New values are shown only where their expressions surely tell nothing that is to be kept from those who look. */

/** Stable, and yet told by nothing but what they are given, the settings and the time. Others may read tables. */
const BY_ARGUMENTS: ReadonlySet<string> = new Set(
  `age array_to_string concat concat_ws date date_part date_trunc extract format json_build_array json_build_object
   jsonb_build_array jsonb_build_object length now timezone to_char to_date to_json to_jsonb to_number to_timestamp
   transaction_timestamp`.split(/\s+/),
);

export interface ValueSources {
  readonly target: Relation;
  /** The policy masks columns of some table. */
  readonly masks: boolean;
  /** Those of the target. */
  readonly masked: ReadonlySet<string>;
  readonly functions: readonly FunctionFacts[];
  /** The statement has parameters. */
  readonly parameters: boolean;
}

/** Why the new value of a column is not for everybody who may look; null where it is. */
export function withheldOf({ column, parts }: Assignment, sources: ValueSources): Withheld {
  if (sources.masked.has(column)) return 'mask';
  if (sources.masks && !(parts !== null && tellsNothingMasked(parts.columns, parts.functions, sources)))
    return 'mask';
  // Through a WITH a subquery reads parameters that it does not name.
  const given = parts === null ? sources.parameters : parts.parameters;
  return given ? 'parameters' : null;
}

function tellsNothingMasked(
  columns: readonly (readonly string[])[],
  functions: readonly FunctionName[],
  { target, masked, functions: facts }: ValueSources,
): boolean {
  const plain = columns.every((parts) => {
    const name = parts.at(-1);
    // What is no column is the whole row, or a function of it; what is computed may be so from a masked one.
    const found = target.columns.find((each) => each.name === name);
    return found !== undefined && !masked.has(found.name) && (found.generated === '' || masked.size === 0);
  });
  return plain && functions.every((called) => tellsArguments(called, facts));
}

function tellsArguments({ schema, name }: FunctionName, facts: readonly FunctionFacts[]): boolean {
  const found = facts.find((each) => each.schema === schema && each.name === name);
  if (found === undefined || found.own) return false;
  return found.volatility === 'immutable' || BY_ARGUMENTS.has(name);
}

/** A preview for those who may not see values of parameters. */
export function withoutParameters(preview: Preview): Preview {
  return {
    ...preview,
    sample: withoutGiven(preview.sample),
    parameters: { ...preview.parameters, values: null },
  };
}

function withoutGiven(sample: Sample): Sample {
  if (sample.kind !== 'rows') return sample;
  const { columns } = sample;
  return {
    ...sample,
    rows: sample.rows.map(({ before, after }) => ({
      before,
      after: after?.map((value, i) => (columns[i]?.withheld === null ? value : null)) ?? null,
    })),
  };
}

/** A preview for those who may: what only the scope stands against is not withheld from them. */
export function withParameterValues(preview: Preview): Preview {
  const { sample } = preview;
  if (sample.kind !== 'rows') return preview;
  const columns = sample.columns.map((column) =>
    column.withheld === 'parameters' ? { ...column, withheld: null } : column,
  );
  return { ...preview, sample: { ...sample, columns } };
}

/** As an older gateway has kept it, which did not note what its new values were made of: they are not shown. */
export function withOlderWithheld(preview: Preview): Preview {
  const { sample } = preview;
  if (sample.kind !== 'rows' || sample.columns.every(({ withheld }) => withheld !== undefined))
    return preview;
  const columns = sample.columns.map((column): (typeof sample.columns)[number] => ({
    ...column,
    withheld: column.masked || column.assigned ? 'mask' : null,
  }));
  const rows = sample.rows.map(({ before, after }) => ({
    before,
    after: after?.map((value, i) => (columns[i]?.withheld === null ? value : null)) ?? null,
  }));
  return { ...preview, sample: { ...sample, columns, rows } };
}
