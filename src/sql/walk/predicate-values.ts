import { as, constantText, isObject, list } from '../parsing/tree.ts';

/** Conclusions that need a constant's value. Each says so in the notes, because they hold for that text only. */
interface Notes {
  literalsRead: boolean;
}

const LIKE_OPERATORS: ReadonlySet<string> = new Set(['~~', '~~*']);
const REGEX_OPERATORS: ReadonlySet<string> = new Set(['~', '~*']);
const PREFIX_OPERATORS: ReadonlySet<string> = new Set(['^@', '@>']);

/** Whether a pattern or a container matches everything: LIKE '%', ~ '.*', @> '{}'. */
export function alwaysTruePattern(operator: string, pattern: unknown, notes: Notes): boolean {
  const isLike = LIKE_OPERATORS.has(operator);
  const isRegex = REGEX_OPERATORS.has(operator);
  if (!isLike && !isRegex && !PREFIX_OPERATORS.has(operator)) return false;
  notes.literalsRead = true;
  const value = constantText(likeEscape(pattern));
  if (value === null) return isComputedConstant(pattern);
  if (isLike) return /^[%_]*%[%_]*$/.test(value);
  if (isRegex) return /^[\s.*^$()+?|%]*$/.test(value);
  return ['', '{}', '[]'].includes(value.replace(/\s/g, ''));
}

/** A pattern that is put together from constants alone is one that nobody has read. */
function isComputedConstant(node: unknown): boolean {
  if (Array.isArray(node)) return node.every(isComputedConstant);
  if (!isObject(node)) return true;
  const varies = ['ColumnRef', 'ParamRef', 'SubLink'] as const;
  return varies.every((name) => as(node, name) === null) && Object.values(node).every(isComputedConstant);
}

/** LIKE … ESCAPE and SIMILAR TO wrap their pattern in a function. */
function likeEscape(pattern: unknown): unknown {
  const call = as(pattern, 'FuncCall');
  return call === null ? pattern : list(call['args'])[0];
}

/** `<> ALL ('{}')` holds for every row. */
export function emptyContainer(node: unknown, notes: Notes): boolean {
  const array = as(node, 'A_ArrayExpr') ?? as(as(node, 'TypeCast')?.['arg'], 'A_ArrayExpr');
  if (array !== null) return list(array['elements']).length === 0;
  notes.literalsRead = true;
  const value = constantText(node);
  return value !== null && value.replace(/\s/g, '') === '{}';
}

/** Whether x < a OR x > b leaves no value out, because the ranges meet. */
export function rangesCover(one: string, a: unknown, other: string, b: unknown, notes: Notes): boolean {
  const upwards = ['>', '>='].includes(one);
  const downwards = ['<', '<='].includes(one);
  if (upwards) return ['<', '<='].includes(other) && rangesCover(other, b, one, a, notes);
  if (!downwards || !['>', '>='].includes(other)) return false;
  notes.literalsRead = true;
  const [high, low] = [constantText(a), constantText(b)];
  if (high === null || low === null) return true;
  const [highNumber, lowNumber] = [Number(high), Number(low)];
  if (high.trim() !== '' && low.trim() !== '' && !Number.isNaN(highNumber) && !Number.isNaN(lowNumber)) {
    return highNumber >= lowNumber;
  }
  return high >= low;
}
