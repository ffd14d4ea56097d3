/** A few names, found by their last byte: those that a client gives to its statements mostly differ in it. */
const PLACES = 16;

/**
 * The names that came last in messages, found by their bytes. Otherwise each message that names a statement would make a
 * string of it, look at whether it is ASCII, and have it hashed.
 */
export class RecentNames {
  private readonly names: string[] = new Array<string>(PLACES).fill('');

  /** The name in `bytes[start, end)` as it was kept, or null. */
  find(bytes: Buffer, start: number, end: number): string | null {
    const name = this.names[bytes[end - 1]! & (PLACES - 1)]!;
    if (name.length !== end - start) return null;
    for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name.charCodeAt(i)) return null;
    return name;
  }

  /** Keeps a name all of whose characters are ASCII, and so its bytes. */
  keep(name: string): void {
    this.names[name.charCodeAt(name.length - 1) & (PLACES - 1)] = name;
  }
}
