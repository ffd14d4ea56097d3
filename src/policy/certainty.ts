/**
 * How surely a rule matches. A statement's text does not tell everything, and what it leaves open must never
 * loosen: a rule that matches for sure decides, one that only might match can only tighten.
 */
export type Certainty = 'no' | 'possible' | 'sure';

/** All must hold: the least certain of them. */
export function both(a: Certainty, b: Certainty): Certainty {
  if (a === 'no' || b === 'no') return 'no';
  return a === 'sure' && b === 'sure' ? 'sure' : 'possible';
}

/** Any may hold: the most certain of them. */
export function anyOf<T>(items: readonly T[], certainty: (item: T) => Certainty): Certainty {
  let best: Certainty = 'no';
  for (const item of items) {
    const one = certainty(item);
    if (one === 'sure') return 'sure';
    if (one === 'possible') best = 'possible';
  }
  return best;
}

/** All of a thing's parts: sure where each is, possible where one might be. Nothing at all is not a match. */
export function everyOf<T>(items: readonly T[], certainty: (item: T) => Certainty): Certainty {
  let sure = items.length > 0;
  let possible = false;
  for (const item of items) {
    const one = certainty(item);
    if (one !== 'sure') sure = false;
    if (one !== 'no') possible = true;
  }
  if (sure) return 'sure';
  return possible ? 'possible' : 'no';
}
