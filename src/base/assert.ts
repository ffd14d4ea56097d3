/** Stops the program's own mistakes where they happen; what a peer sends wrongly is an error, never an assertion. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${what}`);
}

/** Closes a switch over a union: it compiles only while every member has a case. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${String(value)}`);
}
