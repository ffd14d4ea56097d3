/** An object that stands in the trash, and what it was. */
export interface TrashedObject {
  readonly oid: number;
  /** As ALTER calls it. */
  readonly kind: string;
  readonly schema: string;
  readonly name: string;
  /** Its name in the trash, which no other object has. */
  readonly trash_name: string;
  /** As it has come to stand in the trash. */
  readonly state?: Readonly<Record<string, string>> | undefined;
}

export interface RestoreStep {
  readonly sql: string;
  /** What it brings back, for whoever reads that it failed. */
  readonly what: string;
  /** All else is worth having without it, such as the contents of a materialized view. */
  readonly optional?: true | undefined;
  /** It takes long, and what it waits for is not to be kept waiting: it is done once all else is committed. */
  readonly after?: true | undefined;
  /** The role that is to do it, where the one that restores may act as it. */
  readonly as?: string | undefined;
}
