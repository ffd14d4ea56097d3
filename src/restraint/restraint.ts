/** What holds back all that is not safe, whatever policy says of it, until a person or time lifts it. */
export type Restraint = Pause | Quarantine;

interface Ground {
  readonly id: string;
  readonly reason: string;
  /** `token:` and its name, or `holdfast`. */
  readonly by: string;
  readonly sinceMs: number;
}

/** Of everybody. */
export interface Pause extends Ground {
  readonly kind: 'pause';
}

/** Of one role, or of what it does under one name of an application. */
export interface Quarantine extends Ground {
  readonly kind: 'quarantine';
  readonly role: string;
  /** Null for all of them. */
  readonly application: string | null;
  /** Null for as long as nobody lifts it. */
  readonly untilMs: number | null;
}

/** Who runs a statement; the name of the application is the client's own word. */
export interface Actor {
  readonly role: string;
  readonly application: string;
}

/** What the session asks. Both are called for what is not safe, and for nothing else. */
export interface Restraints {
  of(actor: Actor): Restraint | null;
  /** Policy, or a person, has refused a statement; several of them within a time may bring a quarantine. */
  attempted(actor: Actor, operation: string): void;
}

/** When so many statements of a role are refused within a time, the role is in quarantine for another. */
export interface QuarantineRule {
  readonly attempts: number;
  readonly withinMs: number;
  readonly forMs: number;
  /** Whether attempts are counted, and quarantines put, for the role or for it and its application. */
  readonly by: 'role' | 'application';
}
