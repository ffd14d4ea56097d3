/** One thing that a client does in a session. */
export type Step =
  | { readonly kind: 'send'; readonly what: string; readonly bytes: Buffer }
  /** The client reads what it is owed before it goes on. */
  | { readonly kind: 'pause' }
  /** The client shuts down its writing side and only reads from here on. */
  | { readonly kind: 'half-close' };

/** How the bytes between two pauses are cut into packets. */
export type Packets = 'together' | 'by-message' | 'odd';

/**
 * A whole session, to be run twice against equal databases. It is a value: running it decides nothing, so
 * that both runs send the same bytes.
 */
export interface Script {
  readonly seed: number;
  readonly startup: Readonly<Record<string, string>>;
  readonly packets: Packets;
  readonly steps: readonly Step[];
  /**
   * Whether the runner ends the session in order. Where the script itself ends it (Terminate, half-close, a
   * message that the server closes the connection for) nothing may follow, or a reset could eat replies.
   */
  readonly closing: 'in-order' | 'by-script';
}

export function printScript(script: Script): string {
  const steps = script.steps.map((step, i) => {
    const text = step.kind === 'send' ? step.what : `(${step.kind})`;
    return `  ${String(i).padStart(3)} ${text}`;
  });
  return [
    `seed ${script.seed}, packets ${script.packets}, startup ${JSON.stringify(script.startup)}`,
    ...steps,
    `  end ${script.closing}`,
  ].join('\n');
}
