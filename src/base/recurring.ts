/**
 * Work that is done at the start and from time to time, never twice at once. It keeps no process alive, and is not to reject:
 * what fails is tried again at the next time.
 */
export class Recurring {
  readonly #work: () => Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #underWay: Promise<void> | null = null;
  #stopped = false;

  constructor(work: () => Promise<void>, everyMs: number) {
    this.#work = work;
    this.#timer = setInterval(() => void this.now(), everyMs);
    this.#timer.unref();
    // Whoever makes it is not made itself yet.
    queueMicrotask(() => this.#stopped || void this.now());
  }

  /** Whether what is under way should end soon. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Does it now, or waits for what is under way. */
  now(): Promise<void> {
    this.#underWay ??= this.#work().finally(() => {
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
