/** What the exit codes of every command mean; `holdfast --help` and docs/configuration.md say the same. */
export const EXIT = {
  ok: 0,
  /** It could not be done: nothing answers, a request was refused, a server ended. */
  failed: 1,
  /** The command line, the configuration, the policy or the tokens are not understood. */
  invalid: 2,
  /** `explain --exit-code`: the decision is not to allow. */
  notAllowed: 3,
  /** `undo`: rows have changed since the statement, and nothing was done. */
  conflicts: 4,
  /** `policy test`: a case is decided in another way than it says. */
  differs: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
