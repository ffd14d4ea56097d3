import { quoteName } from '../catalog/quote.ts';
import {
  comment,
  emptiedView,
  filledView,
  grants,
  materializedView,
  named,
  policy,
  RELATION_WORDS,
  rule,
  TRASH_SCHEMA,
  trigger,
} from './definitions.ts';
import { detailsBack, detailsLost } from './details.ts';
import type { Facts, GoneNamed, GoneRelation, GoneStatistics } from './facts.ts';
import { givenBack, takenAway } from './rights.ts';
import type { RestoreStep, TrashedObject } from './steps.ts';
import { inOrderOfUse, madeAnew } from './view-order.ts';

export interface MovePlan {
  readonly moves: readonly string[];
  readonly restores: readonly RestoreStep[];
  readonly objects: readonly TrashedObject[];
  /** What a restore will not bring back as it was. */
  readonly notes: readonly string[];
}

export type PlannedMove =
  | { readonly kind: 'plan'; readonly plan: MovePlan }
  /** A clause that reads well behind "because". It may be so because others have moved it meanwhile. */
  | { readonly kind: 'none'; readonly reason: string; readonly mayPass?: true };

/**
 * How the objects that a DROP would take are moved into the trash instead, so that what stays is as after the DROP:
 * whatever ties one that goes to one that stays is cut, and kept as SQL. Views keep their columns and lose their
 * definition, so that nothing in the trash is in the way of what is done to the tables that they read.
 */
export function planMove(id: string, facts: Facts): PlannedMove {
  const { relations, types, functions, statistics } = facts;
  const all: readonly GoneNamed[] = [...relations, ...types, ...functions, ...statistics];
  const there = all.find(({ schema }) => schema === TRASH_SCHEMA);
  if (there !== undefined) {
    const at = `${there.schema}.${there.name}`;
    return {
      kind: 'none',
      reason: `${at} is in the trash already, and depends on what is dropped`,
      mayPass: true,
    };
  }
  const problem = problemOf(facts);
  if (problem !== null) return { kind: 'none', reason: problem };
  const part = new Parts(id, facts);
  part.keepRights(facts);
  part.keepDetails(facts);
  part.cut(facts);
  part.move(facts);
  return { kind: 'plan', plan: part.plan(facts) };
}

function problemOf(facts: Facts): string | null {
  const [stranger] = facts.strangers;
  if (stranger !== undefined) return `it would take along ${stranger}, which cannot be kept`;
  for (const { schema, name, ...relation } of facts.relations) {
    const at = `${schema}.${name}`;
    if (relation.persistence === 't')
      return `${at} is temporary, and others that it would take along are not`;
    if (relation.subscribed) return `${at} belongs to a subscription`;
    if (relation.labelled && relation.kind === 'm') return `${at} has a security label`;
  }
  const computed = facts.defaults.find(({ generated }) => generated);
  if (computed !== undefined) return `it would take along a generated column of ${named(computed.table)}`;
  const type = facts.types.find((each) => !'edc'.includes(each.type));
  if (type !== undefined) return `it would take along the type ${named(type)}, which cannot be kept`;
  const constraint = facts.constraints.find((each) => each.type !== 'f' && !each.tableGone && !each.typeGone);
  if (constraint !== undefined)
    return `it would take along the constraint ${constraint.name}, which cannot be kept`;
  const statistics = facts.statistics.find(({ table }) => table.kind === 'm');
  if (statistics !== undefined) return `it would take along the statistics ${named(statistics)}`;
  if (facts.schemas.some(({ labelled }) => labelled)) return 'its schema has a security label';
  return null;
}

/** Restores are made in another order than moves: what others rest on first. */
const ORDER = [
  'schema',
  'object',
  'rights',
  'lent',
  'attach',
  'default',
  'view',
  'reference',
  'trigger',
  'details',
  'publication',
] as const;
type Stage = (typeof ORDER)[number];

class Parts {
  readonly #id: string;
  readonly #moves: string[] = [];
  readonly #restores = new Map<Stage, RestoreStep[]>(ORDER.map((stage) => [stage, []]));
  readonly #objects: TrashedObject[] = [];
  readonly #notes: string[] = [];

  readonly #closed: ReadonlySet<string>;
  readonly #away = new Set<number>();

  /** Materialized views that cannot be moved, since they would keep what stays from being altered or dropped. */
  readonly #anew: ReadonlySet<number>;

  constructor(id: string, { closed, relations }: Facts) {
    this.#id = id;
    this.#closed = new Set(closed);
    this.#anew = madeAnew(relations.filter(({ kind }) => kind === 'm'));
  }

  plan(facts: Facts): MovePlan {
    for (const schema of facts.schemas) this.#dropSchema(schema);
    const restores = [...this.#restores.values()].flat();
    return { moves: this.#moves, restores, objects: this.#objects, notes: this.#notes };
  }

  keepDetails({ details }: Facts): void {
    this.#restores.get('details')!.push(...detailsBack(details));
    this.#notes.push(...detailsLost(details));
  }

  keepRights({ rights }: Facts): void {
    for (const each of rights) {
      if (this.#anew.has(each.oid)) continue;
      this.#moves.push(...takenAway(each));
      this.#restores.get('rights')!.push(...givenBack(each));
    }
  }

  /** Cuts what ties those that go to those that stay. */
  cut(facts: Facts): void {
    for (const { table, column, expression } of facts.defaults) {
      const at = `ALTER TABLE ONLY ${named(table)} ALTER COLUMN ${quoteName(column)}`;
      this.#moves.push(`${at} DROP DEFAULT`);
      this.#restore(
        'default',
        `the default of ${named(table)}.${quoteName(column)}`,
        `${at} SET DEFAULT ${expression}`,
      );
    }
    for (const each of facts.triggers) {
      this.#moves.push(`DROP TRIGGER ${quoteName(each.name)} ON ${named(each.table)}`);
      this.#restore('trigger', `the trigger ${each.name} of ${named(each.table)}`, ...trigger(each));
    }
    for (const each of facts.rules) {
      this.#moves.push(`DROP RULE ${quoteName(each.name)} ON ${named(each.table)}`);
      this.#restore('trigger', `the rule ${each.name} of ${named(each.table)}`, ...rule(each));
    }
    for (const each of facts.policies) {
      this.#moves.push(`DROP POLICY ${quoteName(each.name)} ON ${named(each.table)}`);
      this.#restore('trigger', `the policy ${each.name} of ${named(each.table)}`, ...policy(each));
    }
    const views = inOrderOfUse(facts.relations.filter(({ kind }) => kind === 'v' || kind === 'm'));
    for (const view of views) this.#cutView(view);
    const materialized = views.filter(({ oid }) => this.#anew.has(oid)).map(named);
    if (materialized.length > 0) this.#moves.push(`DROP MATERIALIZED VIEW ${materialized.join(', ')}`);
    // No partition is detached that rows still refer to.
    this.#cutReferences(facts, 'own');
    for (const relation of facts.relations) this.#cutFromParents(relation);
    for (const relation of facts.relations) this.#cutFromType(relation);
    for (const each of facts.statistics) if (!each.tableGone) this.#cutStatistics(each);
    this.#cutReferences(facts, 'lent');
    this.#cutPublications(facts);
  }

  /** Gives each that goes a name of its own, and the trash for a schema. */
  move(facts: Facts): void {
    // The arguments of functions are told by the names of types, which change as they are moved.
    for (const routine of facts.functions) {
      this.#relocate('ROUTINE', routine, `(${routine.arguments})`);
    }
    const kept = facts.relations.filter(
      ({ oid, indexOf, schema }) =>
        !this.#anew.has(oid) && !this.#anew.has(indexOf?.oid ?? 0) && schema !== 'pg_toast',
    );
    // Indexes and owned sequences follow their tables, but their names have to be free in the trash.
    const followers = kept.filter((relation) => followed(relation) !== null);
    const isClosed = ({ schema }: GoneRelation) => this.#closed.has(schema);
    for (const each of followers) if (!isClosed(each)) this.#rename(each, each.schema);
    const followersOf = Map.groupBy(followers.filter(isClosed), followed);
    for (const relation of kept) {
      const word = RELATION_WORDS[relation.kind];
      // The relations of composite types follow them.
      if (word === undefined || followed(relation) !== null) continue;
      if (relation.kind === 'S' && relation.ownedBy !== null) this.#disown(relation, relation.ownedBy);
      this.#relocate(word, relation);
      for (const each of followersOf.get(relation.oid) ?? []) this.#rename(each, TRASH_SCHEMA);
    }
    this.#renamedBack();
    for (const each of facts.statistics) if (each.tableGone) this.#relocate('STATISTICS', each);
    for (const each of facts.types) this.#relocate(each.type === 'd' ? 'DOMAIN' : 'TYPE', each);
  }

  #restore(stage: Stage, what: string, ...sqls: readonly string[]): void {
    for (const sql of sqls) this.#restores.get(stage)!.push({ sql, what });
  }

  #trashName({ oid }: { readonly oid: number }): string {
    return `${this.#id}_${oid}`;
  }

  #cutView(view: GoneRelation): void {
    if (view.kind === 'm') {
      if (!this.#anew.has(view.oid)) return;
      this.#restore('view', `the materialized view ${named(view)}`, ...materializedView(view));
      const refresh = `REFRESH MATERIALIZED VIEW ${named(view)}`;
      const what = `the contents of ${named(view)}`;
      if (view.populated)
        this.#restores.get('publication')!.push({ sql: refresh, what, optional: true, after: true });
      this.#notes.push(`the materialized view ${named(view)} is computed anew`);
      return;
    }
    // Nor can a view be given another definition where nothing can be made.
    const closed = this.#closed.has(view.schema);
    if (closed) this.#takeAway('VIEW', view);
    const place = closed ? { schema: TRASH_SCHEMA, name: this.#trashName(view) } : view;
    this.#moves.push(emptiedView({ ...view, ...place }));
    this.#restore('view', `the view ${named(view)}`, filledView(view));
  }

  #cutFromParents(relation: GoneRelation): void {
    const what = `the place of ${named(relation)}`;
    for (const parent of relation.parents ?? []) {
      const child = `ALTER TABLE ${named(relation)}`;
      if (relation.bound === null) {
        this.#moves.push(`${child} NO INHERIT ${named(parent)}`);
        this.#restore('attach', `${what} below ${named(parent)}`, `${child} INHERIT ${named(parent)}`);
        this.#notes.push(`the columns of ${named(relation)} count as its own as well as inherited ones`);
      } else {
        this.#moves.push(`ALTER TABLE ${named(parent)} DETACH PARTITION ${named(relation)}`);
        const attach = `ALTER TABLE ${named(parent)} ATTACH PARTITION ${named(relation)} ${relation.bound}`;
        // The server takes none for that of the parent, and makes it anew beside it.
        const anew = (relation.exclusions ?? []).map((name) => `${child} DROP CONSTRAINT ${quoteName(name)}`);
        this.#restore('attach', `${what} in ${named(parent)}`, ...anew, attach);
      }
    }
  }

  /** What is done to the type with CASCADE would be done to its tables in the trash. */
  #cutFromType({ rowType, ...relation }: GoneRelation): void {
    if (rowType === null) return;
    const table = `ALTER TABLE ${named(relation)}`;
    const what = `what ${named(relation)} is a table of`;
    this.#moves.push(`${table} NOT OF`);
    this.#restores.get('attach')!.push({ sql: `${table} OF ${named(rowType)}`, what, optional: true });
  }

  /** Moved away, they would go for good with a column of their table, and be made anew where its type is changed. */
  #cutStatistics(statistics: GoneStatistics): void {
    const at = `STATISTICS ${named(statistics)}`;
    const { definition, owner, target, comment: text } = statistics;
    this.#moves.push(`DROP ${at}`);
    const what = `the statistics ${named(statistics)}`;
    const steps = [
      definition,
      `ALTER ${at} OWNER TO ${quoteName(owner)}`,
      ...(target === null ? [] : [`ALTER ${at} SET STATISTICS ${target}`]),
      ...comment(at, text),
    ];
    // Its table may be gone by then.
    this.#restores.get('details')!.push(...steps.map((sql) => ({ sql, what, optional: true as const })));
    this.#notes.push(`${what} are gathered anew by ANALYZE`);
  }

  #cutReferences({ constraints }: Facts, whose: 'own' | 'lent'): void {
    for (const each of constraints) {
      const { type, table, child, parentGone, tableGone, otherGone } = each;
      if (child !== (whose === 'lent') || type !== 'f' || table === null) continue;
      if ((tableGone && otherGone) || (child && parentGone)) continue;
      // What a partitioned table lends its partitions ends with their being detached, and returns with them.
      if (child && !tableGone) continue;
      const name = quoteName(each.name);
      this.#moves.push(`ALTER TABLE ${named(table)} DROP CONSTRAINT ${name}`);
      // The server takes one that is there for that of the parent, and makes one as the parent's where there is none.
      if (child && !each.ownWay) continue;
      this.#restore(
        child ? 'lent' : 'reference',
        `the foreign key ${each.name} of ${named(table)}`,
        `ALTER TABLE ${named(table)} ADD CONSTRAINT ${name} ${each.definition}`,
        ...comment(`CONSTRAINT ${name} ON ${named(table)}`, child ? null : each.comment),
      );
    }
  }

  #cutPublications({ published }: Facts): void {
    for (const { publication, table, columns, condition } of published) {
      const some = columns === null ? '' : ` (${columns.map(quoteName).join(', ')})`;
      const where = condition === null ? '' : ` WHERE (${condition})`;
      this.#moves.push(`ALTER PUBLICATION ${quoteName(publication)} DROP TABLE ONLY ${named(table)}`);
      this.#restore(
        'publication',
        `the publication of ${named(table)} in ${publication}`,
        `ALTER PUBLICATION ${quoteName(publication)} ADD TABLE ONLY ${named(table)}${some}${where}`,
      );
    }
  }

  #disown(sequence: GoneRelation, { table, column }: NonNullable<GoneRelation['ownedBy']>): void {
    this.#moves.push(`ALTER SEQUENCE ${named(sequence)} OWNED BY NONE`);
    const owner = `${named(table)}.${quoteName(column)}`;
    this.#restore(
      'default',
      `what owns ${named(sequence)}`,
      `ALTER SEQUENCE ${named(sequence)} OWNED BY ${owner}`,
    );
  }

  readonly #renamed: RestoreStep[] = [];

  #rename(object: GoneRelation, schema: string): void {
    const trashName = this.#trashName(object);
    const word = RELATION_WORDS[object.kind]!;
    this.#moves.push(`ALTER ${word} ${named({ ...object, schema })} RENAME TO ${quoteName(trashName)}`);
    this.#takeDown(word, object, trashName);
    const back = named({ schema: object.schema, name: trashName });
    this.#renamed.push({
      sql: `ALTER ${word} ${back} RENAME TO ${quoteName(object.name)}`,
      what: `the name of ${named(object)}`,
    });
  }

  #takeDown(word: string, { oid, schema, name }: GoneNamed, trashName: string): void {
    this.#objects.push({ oid, kind: word.toLowerCase(), schema, name, trash_name: trashName });
  }

  /** Names of parts come back once that which they are parts of has. */
  #renamedBack(): void {
    for (const { sql, what } of this.#renamed) this.#restore('object', what, sql);
  }

  #relocate(word: string, object: GoneNamed, signature = ''): void {
    const trashName = this.#trashName(object);
    const at = (schema: string) => named({ schema, name: trashName });
    if (!this.#away.has(object.oid)) this.#takeAway(word, object, signature);
    this.#takeDown(word, object, trashName);
    this.#restore(
      'object',
      `the ${word.toLowerCase()} ${named(object)}`,
      `ALTER ${word} ${at(TRASH_SCHEMA)} SET SCHEMA ${quoteName(object.schema)}`,
      `ALTER ${word} ${at(object.schema)} RENAME TO ${quoteName(object.name)}`,
    );
  }

  /** By a name of its own, that none in the trash is in its way; unless only there it can be given one. */
  #takeAway(word: string, object: GoneNamed, signature = ''): void {
    const renamed = { ...object, name: this.#trashName(object) };
    const rename = (at: GoneNamed) =>
      `ALTER ${word} ${named(at)}${signature} RENAME TO ${quoteName(renamed.name)}`;
    const move = (at: GoneNamed) =>
      `ALTER ${word} ${named(at)}${signature} SET SCHEMA ${quoteName(TRASH_SCHEMA)}`;
    this.#away.add(object.oid);
    if (this.#closed.has(object.schema)) {
      this.#moves.push(move(object), rename({ ...object, schema: TRASH_SCHEMA }));
    } else this.#moves.push(rename(object), move(renamed));
  }

  #dropSchema({ name, owner, aclIsSet, acl, comment: text }: Facts['schemas'][number]): void {
    const quoted = quoteName(name);
    this.#moves.push(`DROP SCHEMA ${quoted}`);
    this.#restore(
      'schema',
      `the schema ${quoted}`,
      `CREATE SCHEMA ${quoted}`,
      `ALTER SCHEMA ${quoted} OWNER TO ${quoteName(owner)}`,
      ...grants(`SCHEMA ${quoted}`, owner, aclIsSet, acl),
      ...comment(`SCHEMA ${quoted}`, text),
    );
  }
}

/** The table that an index or a sequence goes with wherever it goes. */
function followed({ kind, indexOf, ownedBy }: GoneRelation): number | null {
  if (RELATION_WORDS[kind] === 'INDEX') return indexOf?.oid ?? null;
  return kind === 'S' && ownedBy?.gone === true ? ownedBy.table.oid : null;
}
