import type { Node } from '@pgsql/types';
import type { RelationName } from '../effects.ts';

type KeyOfUnion<T> = T extends unknown ? keyof T : never;

/** The name of every kind of node in PostgreSQL's trees, parse trees and others. */
export type NodeName = KeyOfUnion<Node>;

/** A node without its wrapper. Its fields are looked at one at a time, so that none is trusted to be there. */
export type Fields = Readonly<Record<string, unknown>>;

export interface Wrapped {
  readonly name: string;
  readonly fields: Fields;
}

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `{ "SelectStmt": {…} }` taken apart, or null where the value is not a wrapped node. */
export function unwrap(value: unknown): Wrapped | null {
  if (!isObject(value)) return null;
  for (const name in value) {
    const c = name.charCodeAt(0);
    const fields = value[name];
    return c >= 65 && c <= 90 && isObject(fields) ? { name, fields } : null;
  }
  return null;
}

/** The fields of a wrapped node where it is of the kind named. */
export function as(value: unknown, name: NodeName): Fields | null {
  const found = isObject(value) ? value[name] : undefined;
  return isObject(found) ? found : null;
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** The text of a String node, also inside an A_Const. */
export function stringOf(value: unknown): string | null {
  const direct = as(value, 'String');
  if (direct !== null) return typeof direct['sval'] === 'string' ? direct['sval'] : '';
  const constant = as(value, 'A_Const')?.['sval'];
  if (!isObject(constant)) return null;
  return typeof constant['sval'] === 'string' ? constant['sval'] : '';
}

/** The parts of a dotted name: a list of String nodes, itself a list or a List node. */
export function nameParts(value: unknown): readonly string[] {
  const single = stringOf(value);
  if (single !== null) return [single];
  const items = Array.isArray(value) ? value : list(as(value, 'List')?.['items']);
  return items.map(stringOf).filter((part) => part !== null);
}

export function relationOfParts(parts: readonly string[]): RelationName | null {
  const name = parts.at(-1);
  return name === undefined ? null : Object.freeze({ schema: parts.at(-2) ?? null, name });
}

/** The relation of a RangeVar's fields. */
export function relationOf(rangeVar: unknown): RelationName | null {
  if (!isObject(rangeVar)) return null;
  const name = text(rangeVar['relname']);
  return name === null ? null : Object.freeze({ schema: text(rangeVar['schemaname']), name });
}

export function aliasOf(fields: Fields): string | null {
  const alias = fields['alias'];
  return isObject(alias) ? text(alias['aliasname']) : null;
}

/** What a constant says, as text; null where the node is none. Literals only, not parameters. */
export function constantText(value: unknown): string | null {
  const cast = as(value, 'TypeCast');
  if (cast !== null) return constantText(cast['arg']);
  const constant = as(value, 'A_Const');
  if (constant === null) return bareText(value);
  if (isObject(constant['sval'])) return stringOf(value);
  if (isObject(constant['ival'])) return String(constant['ival']['ival'] ?? 0);
  if (isObject(constant['fval'])) return String(constant['fval']['fval'] ?? '0');
  if (isObject(constant['boolval'])) return constant['boolval']['boolval'] === true ? 'true' : 'false';
  return null;
}

/** The text of a value node that stands alone, as in the options of a statement. */
function bareText(value: unknown): string | null {
  const truth = as(value, 'Boolean');
  if (truth !== null) return truth['boolval'] === true ? 'true' : 'false';
  const integer = as(value, 'Integer');
  if (integer !== null) return String(integer['ival'] ?? 0);
  return stringOf(value);
}

/** A DefElem's name and argument. */
export interface Option {
  readonly name: string;
  readonly arg: unknown;
}

export function options(value: unknown): readonly Option[] {
  return list(value).flatMap((item) => {
    const fields = as(item, 'DefElem');
    return fields === null ? [] : [{ name: String(fields['defname'] ?? ''), arg: fields['arg'] }];
  });
}
