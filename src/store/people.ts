/** Who somebody is, under whatever name they act. */
export interface Person {
  readonly person: string;
  /** By which their issuer knows them for ever, whatever they are called; null where no issuer does. */
  readonly subject: string | null;
}

/**
 * What tells two people apart is their issuer's word where both have it, since one may change a name and share it with
 * another; else their names, in whatever capitals.
 */
export function isSamePerson(one: Person, other: Person): boolean {
  return one.subject !== null && other.subject !== null
    ? one.subject === other.subject
    : one.person.toLowerCase() === other.person.toLowerCase();
}

/** How many they surely are: whoever may be two of them makes the two one. */
export function countPeople(people: readonly Person[]): number {
  let groups: (readonly Person[])[] = [];
  for (const one of people) {
    const [same, others] = [true, false].map((is) =>
      groups.filter((group) => group.some((other) => isSamePerson(one, other)) === is),
    );
    groups = [...others!, [one, ...same!.flat()]];
  }
  return groups.length;
}
