/** Finds the messages in the bytes of one direction, however they are cut into chunks. */
export class PassingMessages {
  #header: number[] = [];
  #left = 0;

  reset(): void {
    this.#header = [];
    this.#left = 0;
  }

  /** Tells of each header where in the chunk it begins, below 0 if that was in one before, and how much follows it. */
  read(chunk: Buffer, found: (type: string, at: number, bodyBytes: number) => void): void {
    for (let at = 0; at < chunk.length; at++) {
      if (this.#left > 0) {
        const skip = Math.min(this.#left, chunk.length - at);
        this.#left -= skip;
        at += skip - 1;
        continue;
      }
      this.#header.push(chunk[at]!);
      if (this.#header.length < 5) continue;
      const [type, a, b, c, d] = this.#header as [number, number, number, number, number];
      this.#header = [];
      this.#left = ((a << 24) | (b << 16) | (c << 8) | d) - 4;
      found(String.fromCharCode(type), at - 4, this.#left);
    }
  }
}
