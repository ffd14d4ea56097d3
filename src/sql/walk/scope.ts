import type { ColumnName, RelationName } from '../effects.ts';

/** Something that FROM names: `relation` is null for a subquery, a function or a common table expression. */
interface Source {
  readonly alias: string;
  readonly relation: RelationName | null;
  /** Not a function, which may give a value of any type. */
  readonly isRow: boolean;
}

/** A row of pg_settings. */
export interface SettingRow {
  readonly setting: string;
  /** How its column `name` is written. */
  readonly columns: readonly string[];
  /** The schema is written as well. */
  readonly isQualified: boolean;
}

/** The names that one query level gives: its common table expressions and what its FROM names. */
export class Scope {
  readonly parent: Scope | null;
  readonly #ctes = new Set<string>();
  readonly #sources: Source[] = [];
  /** The alias of the relation that is written, as qualifiers, where this level writes one. */
  target: readonly string[] | null = null;
  /** The one setting of which this level reads the row in pg_settings, where its text tells. */
  setting: SettingRow | null = null;

  constructor(parent: Scope | null) {
    this.parent = parent;
  }

  addCte(name: string): void {
    this.#ctes.add(name);
  }

  addSource(alias: string, relation: RelationName | null, isRow = true): void {
    this.#sources.push({ alias, relation, isRow });
  }

  /** Whether what the qualifiers name surely is a row, of a table or of a subquery. */
  isRow(qualifiers: readonly string[]): boolean {
    if (qualifiers.length >= 2) return true;
    return this.#find(qualifiers.at(-1) ?? '')?.isRow ?? false;
  }

  hasCte(name: string): boolean {
    return this.#ctes.has(name) || (this.parent?.hasCte(name) ?? false);
  }

  /** The columns that a reference may mean; `qualifiers` are the parts before the last. */
  resolve(qualifiers: readonly string[], name: string): readonly ColumnName[] {
    const qualifier = qualifiers.at(-1);
    if (qualifier === undefined) return this.#unqualified(name);
    const source = this.#find(qualifier);
    if (qualifiers.length >= 2) {
      return [{ table: Object.freeze({ schema: qualifiers.at(-2)!, name: qualifier }), name }];
    }
    if (source === undefined) return [{ table: null, name }];
    return source.relation === null ? [] : [{ table: source.relation, name }];
  }

  #unqualified(name: string): readonly ColumnName[] {
    const wholeRow = this.#find(name);
    if (wholeRow !== undefined) {
      return [
        { table: null, name },
        ...(wholeRow.relation === null ? [] : [{ table: wholeRow.relation, name: '*' }]),
      ];
    }
    const visible = this.#visible();
    if (name === '*') {
      return this.#sources.flatMap((source) =>
        source.relation === null ? [] : [{ table: source.relation, name }],
      );
    }
    return [{ table: onlyRelation(visible), name }];
  }

  #visible(): readonly Source[] {
    return this.parent === null ? this.#sources : [...this.#sources, ...this.parent.#visible()];
  }

  #find(alias: string): Source | undefined {
    return (
      this.#sources.find((source) => source.alias === alias) ??
      (this.parent === null ? undefined : this.parent.#find(alias))
    );
  }
}

/** What an unqualified column belongs to: the one relation in sight, also where it has several names. */
function onlyRelation(sources: readonly Source[]): RelationName | null {
  const first = sources[0]?.relation ?? null;
  if (first === null) return null;
  const isFirst = ({ relation }: Source) => relation?.name === first.name && relation.schema === first.schema;
  return sources.every(isFirst) ? first : null;
}
