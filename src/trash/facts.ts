/** What FACTS answers: the objects that a DROP would take, as the catalogs describe them. Empty lists are null. */

export interface NamedRelation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_class.relkind. */
  readonly kind: string;
}

export interface Grant {
  /** Null for PUBLIC. */
  readonly grantee: string | null;
  readonly privilege: string;
  readonly grantable: boolean;
  readonly grantor: string;
}

export interface ViewColumn {
  readonly name: string;
  readonly type: string;
  readonly collation: string | null;
  readonly comment: string | null;
  readonly acl: readonly Grant[] | null;
}

export interface GoneRelation extends NamedRelation {
  readonly owner: string;
  /** p: permanent, u: unlogged, t: temporary. */
  readonly persistence: string;
  readonly method: string | null;
  readonly tablespace: string | null;
  readonly options: readonly string[] | null;
  readonly comment: string | null;
  readonly aclIsSet: boolean;
  readonly acl: readonly Grant[] | null;
  readonly populated: boolean;
  readonly bound: string | null;
  /** Parents that stay. */
  readonly parents: readonly NamedRelation[] | null;
  readonly definition: string | null;
  /** Other relations that go and that its definition rests on. */
  readonly uses: readonly number[] | null;
  /** Of a materialized view: its query rests on something that stays. */
  readonly restsOnOthers: boolean;
  readonly columns: readonly ViewColumn[] | null;
  readonly indexes:
    | readonly {
        readonly schema: string;
        readonly name: string;
        readonly definition: string;
        readonly comment: string | null;
        readonly clustered: boolean;
      }[]
    | null;
  /** Of a partition, the exclusion constraints that it has from its parent. */
  readonly exclusions: readonly string[] | null;
  /** What it is a table OF, where that stays. */
  readonly rowType: { readonly schema: string; readonly name: string } | null;
  readonly indexOf: NamedRelation | null;
  readonly ownedBy: { readonly table: NamedRelation; readonly column: string; readonly gone: boolean } | null;
  readonly subscribed: boolean;
  readonly labelled: boolean;
}

export interface GoneConstraint {
  readonly oid: number;
  readonly name: string;
  /** pg_constraint.contype. */
  readonly type: string;
  readonly table: NamedRelation | null;
  readonly tableGone: boolean;
  readonly otherGone: boolean;
  readonly typeGone: boolean;
  readonly child: boolean;
  readonly parentGone: boolean;
  /** A partition has it from its parent, by a name of its own or without having looked at its rows. */
  readonly ownWay: boolean;
  readonly definition: string | null;
  readonly comment: string | null;
}

export interface GoneDefault {
  readonly table: NamedRelation;
  readonly column: string;
  readonly generated: boolean;
  readonly expression: string;
}

export interface GoneTrigger {
  readonly name: string;
  readonly table: NamedRelation;
  readonly tableGone: boolean;
  readonly definition: string;
  /** pg_trigger.tgenabled. */
  readonly enabled: string;
  readonly comment: string | null;
}

export interface GoneRule {
  readonly name: string;
  readonly table: NamedRelation;
  readonly definition: string;
  /** pg_rewrite.ev_enabled. */
  readonly enabled: string;
  readonly comment: string | null;
}

export interface GonePolicy {
  readonly name: string;
  readonly table: NamedRelation;
  /** pg_policy.polcmd. */
  readonly command: string;
  readonly permissive: boolean;
  /** Null for PUBLIC. */
  readonly roles: readonly (string | null)[];
  readonly using: string | null;
  readonly check: string | null;
  readonly comment: string | null;
}

export interface GonePublished {
  readonly publication: string;
  readonly table: NamedRelation;
  readonly columns: readonly string[] | null;
  readonly condition: string | null;
}

export interface GoneNamed {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
}

export interface GoneSchema {
  readonly name: string;
  readonly owner: string;
  readonly aclIsSet: boolean;
  readonly acl: readonly Grant[] | null;
  readonly comment: string | null;
  readonly labelled: boolean;
}

/**
 * Who may do what with an object. In the trash it is its owner alone: everybody may look into that schema, and the
 * schema that the object stood in may have kept them out. Nor is the owner to change its rows there by mistake.
 */
export interface GoneRights {
  /** As GRANT calls it. */
  readonly oid: number;
  readonly word: 'TABLE' | 'SEQUENCE' | 'ROUTINE' | 'TYPE';
  readonly schema: string;
  readonly name: string;
  /** Of a routine, in parentheses; empty for all others. */
  readonly arguments: string;
  readonly owner: string;
  /** The default ones where none were given. */
  readonly acl: readonly Grant[] | null;
  readonly columns: readonly { readonly name: string; readonly acl: readonly Grant[] | null }[] | null;
}

type Named = { readonly schema: string; readonly name: string };

export interface Details {
  readonly clones:
    | readonly { readonly table: Named; readonly name: string; readonly enabled: string }[]
    | null;
  readonly comments:
    | readonly {
        readonly word: 'CONSTRAINT' | 'TRIGGER';
        readonly table: Named;
        readonly name: string;
        readonly comment: string;
      }[]
    | null;
  readonly enforced: readonly { readonly table: Named; readonly name: string }[] | null;
  /** `what` as ALTER calls it. */
  readonly extensions: readonly { readonly what: string; readonly extension: string }[] | null;
  readonly materialized:
    | readonly (Named & {
        /** Options of its TOAST table. */
        readonly toast: readonly string[] | null;
        readonly columns:
          | readonly {
              readonly name: string;
              readonly statistics: number | null;
              readonly storage: string | null;
              readonly compression: string | null;
              readonly options: readonly string[] | null;
            }[]
          | null;
        readonly indexes:
          | readonly (Named & {
              readonly tablespace: string | null;
              readonly columns: readonly { readonly number: number; readonly statistics: number }[] | null;
            })[]
          | null;
      })[]
    | null;
}

export interface GoneStatistics extends GoneNamed {
  readonly table: NamedRelation;
  readonly tableGone: boolean;
  readonly owner: string;
  readonly definition: string;
  readonly target: number | null;
  readonly comment: string | null;
}

export interface Facts {
  readonly relations: readonly GoneRelation[];
  readonly constraints: readonly GoneConstraint[];
  /** Of tables that stay, and those of tables that go which rest on sequences or functions that stay. */
  readonly defaults: readonly GoneDefault[];
  /** Those of tables that stay, and those of tables that go whose function stays. */
  readonly triggers: readonly GoneTrigger[];
  /** Of tables and views, whether they go or stay. */
  readonly rules: readonly GoneRule[];
  readonly policies: readonly GonePolicy[];
  readonly published: readonly GonePublished[];
  readonly statistics: readonly GoneStatistics[];
  readonly functions: readonly (GoneNamed & { readonly arguments: string })[];
  /** `type` is pg_type.typtype; row types of tables and arrays are left out. */
  readonly types: readonly (GoneNamed & { readonly type: string })[];
  readonly schemas: readonly GoneSchema[];
  /** Schemas in which the role may not make anything, and so cannot give what is its own another name. */
  readonly closed: readonly string[];
  readonly strangers: readonly string[];
  readonly rights: readonly GoneRights[];
  readonly details: Details;
}

type Raw = { readonly [K in keyof Facts]: Facts[K] | null };

export function factsOf(raw: Raw): Facts {
  return {
    relations: raw.relations ?? [],
    constraints: raw.constraints ?? [],
    defaults: raw.defaults ?? [],
    triggers: raw.triggers ?? [],
    rules: raw.rules ?? [],
    policies: raw.policies ?? [],
    published: raw.published ?? [],
    statistics: raw.statistics ?? [],
    functions: raw.functions ?? [],
    types: raw.types ?? [],
    schemas: raw.schemas ?? [],
    closed: raw.closed ?? [],
    strangers: raw.strangers ?? [],
    rights: raw.rights ?? [],
    details: raw.details ?? {
      clones: null,
      comments: null,
      enforced: null,
      extensions: null,
      materialized: null,
    },
  };
}
