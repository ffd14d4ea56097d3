import { catalogFunction, givesRows, isCatalogOperator } from '../facts/functions.ts';
import { isObject, nameParts } from '../parsing/tree.ts';

/** Whether an expression surely gives one value: that of a function that returns a set gives as many rows as that has. */
export function givesOneValue(value: unknown, catalogFirst: boolean): boolean {
  if (Array.isArray(value)) return value.every((each) => givesOneValue(each, catalogFirst));
  if (!isObject(value)) return true;
  return Object.entries(value).every(([name, part]) => {
    if (isObject(part) && !isOneValued(name, part, catalogFirst)) return false;
    // A query gives one value, whatever rows it is made of.
    return name === 'subselect' || givesOneValue(part, catalogFirst);
  });
}

function isOneValued(
  name: string,
  fields: Readonly<Record<string, unknown>>,
  catalogFirst: boolean,
): boolean {
  switch (name) {
    case 'FuncCall': {
      const called = catalogName(fields['funcname'], catalogFirst);
      return called !== null && catalogFunction(called) !== undefined && !givesRows(called);
    }
    case 'A_Expr': {
      const operator = catalogName(fields['name'], catalogFirst);
      return operator !== null && isCatalogOperator(operator);
    }
    case 'A_Indirection':
      // What reads as a field of a row may be a function of it.
      return !JSON.stringify(fields['indirection'] ?? []).includes('"String"');
    default:
      return true;
  }
}

/** The name of what is PostgreSQL's own if anything is; null where it may be somebody else's. */
function catalogName(value: unknown, catalogFirst: boolean): string | null {
  const [name, schema, ...more] = [...nameParts(value)].reverse();
  if (name === undefined || more.length > 0) return null;
  return schema === 'pg_catalog' || (schema === undefined && catalogFirst) ? name : null;
}
