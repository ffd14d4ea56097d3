import { expect, it } from 'vitest';
import { ROUTE_SCOPES } from '../../src/admin/tokens.ts';
import { EVERYTHING, SCOPES, SETS } from '../../src/console/tokens/scopes.ts';

it('offers every scope that the gateway has, and no other', () => {
  expect(SCOPES.map(([scope]) => scope).sort()).toEqual([...ROUTE_SCOPES].sort());
  for (const { name, scopes } of SETS) {
    const known: readonly string[] = [EVERYTHING, ...ROUTE_SCOPES];
    expect(
      scopes.filter((scope) => !known.includes(scope)),
      name,
    ).toEqual([]);
  }
});
