/**
 * Work that is done at the start and from time to time, never twice at once. It keeps no process alive, and is not to reject:
 * what fails is tried again at the next time.
 */
export abstract class Sweeper {
  readonly #timer: NodeJS.Timeout;
  #underWay: Promise<void> | null = null;
  #stopped = false;

  constructor(everyMs: number) {
    this.#timer = setInterval(() => void this.sweep(), everyMs);
    this.#timer.unref();
    // Whoever makes it is not made itself yet.
    queueMicrotask(() => this.#stopped || void this.sweep());
  }

  /** Whether what is under way should end soon. */
  protected get stopped(): boolean {
    return this.#stopped;
  }

  protected abstract work(): Promise<void>;

  /** Does it now, or waits for what is under way. */
  sweep(): Promise<void> {
    this.#underWay ??= this.work().finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#underWay;
  }
}
