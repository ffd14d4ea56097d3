/** `count`: the rows of what has been approved, which is about to run. */
export type TurnKind = 'count' | 'preview';

interface Asked {
  readonly role: string;
  readonly through: (mine: boolean) => void;
}

/**
 * Lets so many ask the server at a time. Counts go first, and have turns that no preview takes; of each kind the roles
 * take turns, so that whoever has many statements held keeps nobody else waiting.
 */
export class Turns {
  readonly #previewsMax: number;
  readonly #allMax: number;
  readonly #waiting = { count: new Rotation(), preview: new Rotation() };
  #taken = 0;

  constructor(previewsMax: number, allMax: number) {
    this.#previewsMax = previewsMax;
    this.#allMax = allMax;
  }

  /** Resolves with true when it is one's turn, which has to be given back; with false if that is left before. */
  async take(kind: TurnKind, role: string, left: Promise<unknown>): Promise<boolean> {
    if (this.#hasRoom(kind)) {
      this.#taken++;
      return true;
    }
    const turn = Promise.withResolvers<boolean>();
    const asked: Asked = { role, through: turn.resolve };
    this.#waiting[kind].add(asked);
    void left.then(() => {
      if (this.#waiting[kind].remove(asked)) turn.resolve(false);
    });
    return await turn.promise;
  }

  give(): void {
    this.#taken--;
    const kind = this.#waiting.count.isEmpty ? 'preview' : 'count';
    const next = this.#hasRoom(kind) ? this.#waiting[kind].next() : undefined;
    if (next === undefined) return;
    this.#taken++;
    next.through(true);
  }

  #hasRoom(kind: TurnKind): boolean {
    return this.#taken < (kind === 'count' ? this.#allMax : this.#previewsMax);
  }
}

/** The first of each role in the order in which the roles had their last turn. */
class Rotation {
  readonly #roles = new Map<string, Set<Asked>>();

  get isEmpty(): boolean {
    return this.#roles.size === 0;
  }

  add(asked: Asked): void {
    const before = this.#roles.get(asked.role);
    if (before === undefined) this.#roles.set(asked.role, new Set([asked]));
    else before.add(asked);
  }

  remove(asked: Asked): boolean {
    const ofRole = this.#roles.get(asked.role);
    if (ofRole === undefined || !ofRole.delete(asked)) return false;
    if (ofRole.size === 0) this.#roles.delete(asked.role);
    return true;
  }

  next(): Asked | undefined {
    for (const [role, ofRole] of this.#roles)
      for (const asked of ofRole) {
        this.remove(asked);
        // Whoever has just had a turn is the last to have the next.
        this.#roles.delete(role);
        if (ofRole.size > 0) this.#roles.set(role, ofRole);
        return asked;
      }
    return undefined;
  }
}
