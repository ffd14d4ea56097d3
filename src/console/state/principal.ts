import { ApiProblem, ask } from '../api/client.ts';
import { Cell } from './cell.ts';

/** Who is signed in, as far as the gateway says. */
export interface Principal {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly roles?: readonly string[];
  readonly groups?: readonly string[];
  /** Who that is, under whatever name. */
  readonly person?: string;
  readonly expires_at?: string | null;
}

export const principal = new Cell<Principal | null>(null);

/** Throws where the token is not taken. */
export async function askPrincipal(secret?: string): Promise<Principal> {
  return await ask<Principal>('/v1/whoami', secret === undefined ? {} : { secret });
}

export async function learnPrincipal(): Promise<void> {
  try {
    principal.set(await askPrincipal());
  } catch (error) {
    // Who cannot be asked now is asked with the next page; an end of the token has been told already.
    if (!(error instanceof ApiProblem)) principal.set(null);
  }
}

/** Whether it makes sense to offer something; the gateway alone decides whether it is done. Null is not known. */
export function mayDo(who: Principal | null, scope: string): boolean {
  if (who === null) return true;
  return [scope, '*', 'admin:*'].some((one) => who.scopes.includes(one));
}
