import type { Approval } from '../api/types.ts';

/** What the statement would do. The API of this version does not say. */
export function Preview(_: { readonly approval: Approval }) {
  return null;
}
