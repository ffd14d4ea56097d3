/** Lets so many at a time through, the others in the order in which they came. */
export class Turns {
  readonly #atOnceMax: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(atOnceMax: number) {
    this.#atOnceMax = atOnceMax;
  }

  /** Resolves with true when it is one's turn, which has to be given back; with false if that is left before. */
  async take(left: Promise<unknown>): Promise<boolean> {
    if (this.#taken < this.#atOnceMax) {
      this.#taken++;
      return true;
    }
    const turn = Promise.withResolvers<boolean>();
    const mine = () => turn.resolve(true);
    this.#waiting.push(mine);
    void left.then(() => {
      const at = this.#waiting.indexOf(mine);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      turn.resolve(false);
    });
    return await turn.promise;
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken--;
    else next();
  }
}
