import { loadPolicyFile } from './load.ts';
import type { Policy } from './policy.ts';

/**
 * The policy in force. It is replaced as a whole: whoever decides reads `current` once and goes by that. A
 * file that does not load changes nothing.
 */
export class PolicyHolder {
  #current: Policy;

  constructor(policy: Policy) {
    this.#current = policy;
  }

  get current(): Policy {
    return this.#current;
  }

  replace(policy: Policy): void {
    this.#current = policy;
  }

  /** Throws what is wrong with the file, and then keeps the policy that it has. */
  reloadFrom(path: string): Policy {
    const policy = loadPolicyFile(path);
    this.replace(policy);
    return policy;
  }
}
