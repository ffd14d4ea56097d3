import type { CodedRelation, ReadCode } from '../../catalog/read-code.ts';
import type { RelationName } from '../../sql/effects.ts';
import type { DefinedBy, DefinitionsRead } from './definitions-read.ts';
import type { ReadNames, Revealed } from './read-names.ts';

/** What of a text meets code that is not known to be harmless. */
export interface Met {
  /** Of each statement. */
  readonly revealed: readonly (readonly Revealed[])[];
  /** Relations whose definitions have not been read, which are taken for the worst. */
  readonly missing: readonly number[];
  readonly isWhole: boolean;
}

export function metBy(
  names: readonly (ReadNames | null)[],
  code: ReadCode,
  definitions: DefinitionsRead,
): Met {
  const search = new Search(code, definitions);
  const revealed = names.map((each) => (each === null ? [] : search.ofNext(each)));
  const missing = [...search.missing];
  return { revealed, missing, isWhole: missing.length === 0 };
}

class Search {
  readonly missing = new Set<number>();
  private readonly code: ReadCode;
  private readonly definitions: DefinitionsRead;
  /** Views that statements in front of the next have made and that lead to code, and whether they may have made functions. */
  private readonly made = new Set<string>();
  private mayHaveMade = false;
  /** Such a statement has given another name to what leads to code, or to a schema. */
  private hasMoved = false;
  private anySchema = false;
  /** Relations that have been looked at, and whether they lead to code. */
  private readonly looked = new Map<CodedRelation, boolean>();

  constructor(code: ReadCode, definitions: DefinitionsRead) {
    this.code = code;
    this.definitions = definitions;
  }

  /** Of the next statement of the text. */
  ofNext(names: ReadNames): readonly Revealed[] {
    const revealed = this.ofStatement(names);
    if (names.mayMakeCode) this.mayHaveMade = true;
    if (names.moves.some((each) => this.leads(each))) this.hasMoved = true;
    if (names.movesSchemas) this.anySchema = true;
    if (names.runs) return revealed;
    if (revealed.length > 0) for (const { name } of names.makes) this.made.add(name);
    return [];
  }

  private ofStatement(names: ReadNames): readonly Revealed[] {
    const revealed: Revealed[] = [];
    for (const relation of names.relations) {
      if (!this.leads(relation)) continue;
      const whole = relation.schema === null ? relation.name : `${relation.schema}.${relation.name}`;
      const reason = `reads ${whole}, whose definition runs code that is not known`;
      revealed.push({ reason, name: `relation(${whole})`, attribute: null });
    }
    const { ofRows, ofValues } = this.code;
    const ofValue = this.mayHaveMade ? names.ofValues : this.among(names.ofValues, ofValues);
    for (const attribute of new Set([...this.among(names.ofRows, ofRows), ...ofValue])) {
      const reason = `reads ${attribute} of a row, which may call a function of that name`;
      revealed.push({ reason, name: attribute, attribute });
    }
    return [...revealed, ...this.named(names), ...this.unnamed(names)];
  }

  /** What runs by no name that stands in the text. */
  private unnamed({ makesValues }: ReadNames): readonly Revealed[] {
    const { castsAnything, typeOids } = this.code;
    const reasons = castsAnything ? ['may run a cast whose code is not known'] : [];
    if (typeOids.size > 0 && makesValues)
      reasons.push('makes values of a type that may run code which is not known');
    return reasons.map((reason) => ({ reason, name: null, attribute: null }));
  }

  /** Names of PostgreSQL's own that others have too. */
  private named({
    functions,
    operators,
    types,
  }: Pick<ReadNames, 'functions' | 'operators' | 'types'>): readonly Revealed[] {
    const { asCatalog, operators: ownOperators, types: ownTypes } = this.code;
    return [
      ...this.among(functions, asCatalog).map((name) => ({
        reason: `calls ${name}, which may be another than PostgreSQL's own`,
        name: null,
        attribute: null,
      })),
      ...this.among(operators, ownOperators).map((name) => ({
        reason: `uses the operator ${name}, which may be another than PostgreSQL's own`,
        name: `operator(${name})`,
        attribute: null,
      })),
      ...this.among(types, ownTypes).map((name) => ({
        reason: `casts to ${name}, which runs code that is not known`,
        name: null,
        attribute: null,
      })),
    ];
  }

  private leads({ schema, name }: RelationName): boolean {
    if (this.hasMoved || this.isUnreadable(name) || this.made.has(name)) return true;
    const found = this.code.relations.get(name) ?? [];
    // Where several may be meant, all are looked at, so that each is asked for at once.
    return found
      .filter(
        (each) => schema === null || this.anySchema || each.schema === schema || this.isUnreadable(schema),
      )
      .map((each) => this.leadsOn(each))
      .includes(true);
  }

  private leadsOn(relation: CodedRelation): boolean {
    const known = this.looked.get(relation);
    if (known !== undefined) return known;
    // What leads back to it leads nowhere else by that.
    this.looked.set(relation, false);
    const parts = this.definitions.of(relation);
    if (parts === undefined) this.missing.add(relation.oid);
    const leads =
      parts === undefined || parts === null || parts.map((names) => this.partLeads(names)).includes(true);
    this.looked.set(relation, leads);
    return leads;
  }

  private partLeads({ functions, operators, relations, types }: DefinedBy): boolean {
    const { byOid, typeOids } = this.code;
    const leads = relations.map((oid) => byOid.has(oid) && this.leadsOn(byOid.get(oid)!)).includes(true);
    if (leads || types.some((oid) => typeOids.has(oid))) return true;
    return this.named({ functions, operators, types: [] }).length > 0;
  }

  private among(names: readonly string[], known: ReadonlySet<string>): readonly string[] {
    return names.filter((name) => known.has(name) || this.isUnreadable(name));
  }

  private isUnreadable(name: string): boolean {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is that of ASCII.
    return this.code.hasUnreadable && !/^[\x00-\x7f]*$/.test(name);
  }
}
