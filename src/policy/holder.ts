import { loadPolicyFile } from './load.ts';
import type { Policy } from './policy.ts';

export type PolicyListener = (policy: Policy, previous: Policy) => void;

/**
 * The policy in force. It is replaced as a whole: whoever decides reads `current` once and goes by that. A
 * file that does not load changes nothing.
 */
export class PolicyHolder {
  #current: Policy;
  readonly #listeners = new Set<PolicyListener>();

  constructor(policy: Policy) {
    this.#current = policy;
  }

  get current(): Policy {
    return this.#current;
  }

  replace(policy: Policy): void {
    const previous = this.#current;
    this.#current = policy;
    for (const listener of this.#listeners) listener(policy, previous);
  }

  /** Throws what is wrong with the file, and then keeps the policy that it has. */
  reloadFrom(path: string): Policy {
    const policy = loadPolicyFile(path);
    this.replace(policy);
    return policy;
  }

  /** Calls back after each replacement, until the function that this returns is called. */
  onReplace(listener: PolicyListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
