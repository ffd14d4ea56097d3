import { list, text as textOf } from '../parsing/tree.ts';
import { type ExecuteSlice, inexact, type SliceRequest, type WriteSlice } from './slice.ts';
import { isExpression } from './slice-check.ts';
import { sliceFacts } from './slice-facts.ts';
import { notCut } from './slice-parts.ts';

/** EXECUTE: what it runs is prepared under a name, and its values are expressions in its own text. */
export function sliceExecute(request: SliceRequest): WriteSlice {
  const { text, fields, first } = request;
  const name = textOf(fields['name']);
  const values = list(fields['params']);
  if (name === null) return notCut();
  const facts = sliceFacts(values);
  if (facts.problem !== null) return inexact(facts.problem);
  if (facts.functions.length > 0 || facts.ownNames || facts.readsOthers || facts.parameters.length > 0)
    return inexact('it executes with values that are more than plain expressions');
  const cut: string[] = [];
  const open = text.tokens.findIndex((token, i) => i > first + 1 && token.text === '(');
  if (open < 0 && values.length > 0) return notCut();
  let after = open;
  for (const value of values) {
    const end = text.tokens.findIndex(
      (token, i) =>
        i > after && (token.text === ',' || token.text === ')') && endsAt(token.depth, token.text),
    );
    if (end < 0) return notCut();
    const expression = text.between(after, end);
    if (!isExpression(request.parse, expression, value)) return notCut();
    cut.push(expression);
    after = end;
  }
  return { kind: 'execute', name, values: cut } satisfies ExecuteSlice;
}

/** The closing parenthesis stands outside of what it closes. */
function endsAt(depth: number, text: string): boolean {
  return text === ')' ? depth === 0 : depth === 1;
}
