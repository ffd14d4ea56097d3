import { OWN_ROOTS } from './own-code.ts';

/** As the catalog numbers its own tables, which is the same in every version. */
export const CLASS = {
  relation: 1259,
  function: 1255,
  type: 1247,
  operator: 2617,
  operatorClass: 2616,
  rule: 2618,
  trigger: 2620,
  policy: 3256,
  default: 2604,
  constraint: 2606,
} as const;

/** What has a version of its own that says what it does. */
const FOLLOWED = [CLASS.relation, CLASS.function, CLASS.type, CLASS.operator, CLASS.operatorClass] as const;

/** Parts of a relation, or of a type, that are found by its OID. */
const parts = (part: number, table: string, of: string, whole: number, more = '') =>
  `SELECT ${part}::pg_catalog.oid, x.oid, false FROM pg_catalog.${table} x
    WHERE b.class OPERATOR(pg_catalog.=) ${whole} AND x.${of} OPERATOR(pg_catalog.=) b.oid ${more}`;

/** What stands in ASCII but for letters, digits, `_` and `$`; as ranges, which name no quote and no backslash. */
const NO_WORD = '[\t-#%-/:-@[-^`{-~]';

/**
 * What the words of code may name: functions, and relations, of the user's. Code that is a string has no dependencies in
 * the catalog. A word that happens to be a name as well does no more harm than that it is looked at.
 */
const wordsOf = (code: string) => {
  const text = `(${code} COLLATE pg_catalog."C")`;
  const words = `pg_catalog.regexp_split_to_table(pg_catalog.concat(${text}, ' ', pg_catalog.lower(${text})), '${NO_WORD}+')`;
  const word = `(SELECT DISTINCT s.word::pg_catalog.name FROM ${words} s(word)) w(word)`;
  return `SELECT ${CLASS.function}::pg_catalog.oid, f.oid, true FROM ${word}
      CROSS JOIN LATERAL (SELECT x.oid FROM pg_catalog.pg_proc x
        WHERE x.proname OPERATOR(pg_catalog.=) w.word AND x.oid OPERATOR(pg_catalog.>=) 16384 OFFSET 0) f
    UNION ALL
    SELECT ${CLASS.relation}::pg_catalog.oid, k.oid, true FROM ${word}
      CROSS JOIN LATERAL (SELECT x.oid FROM pg_catalog.pg_class x
        WHERE x.relname OPERATOR(pg_catalog.=) w.word AND x.oid OPERATOR(pg_catalog.>=) 16384
          AND x.relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'v', 'm', 'p', 'f']::pg_catalog."char"[]) OFFSET 0) k`;
};

/**
 * What decides what a statement does to relations ($1) or by functions, those that it names ($3), of whatever schema, calls by OID
 * ($4) or that stand in its own code ($5), however far behind: what views read and rules write, who refers to that, and
 * the code of triggers, policies, defaults, checks, operators and functions. PostgreSQL keeps what depends on what,
 * but for the bodies of functions that are mere text to it, of which the words are looked at. `written` is what may be
 * changed, so that its triggers fire.
 */
export const BEHIND = `
behind(class, oid, written) AS (
  SELECT start.class, start.oid, true FROM (
    SELECT ${CLASS.relation}::pg_catalog.oid, r FROM pg_catalog.unnest($1::pg_catalog.oid[]) r
    UNION ALL
    SELECT ${CLASS.function}, p.oid FROM pg_catalog.pg_proc p
     WHERE p.proname OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[]::pg_catalog.name[]) OR p.oid OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.oid[])
    UNION ALL
    SELECT named.class, named.oid FROM pg_catalog.unnest($5::pg_catalog.text[]) t(code) CROSS JOIN LATERAL (${wordsOf('t.code')}) named(class, oid, written)
    UNION ALL ${OWN_ROOTS}
  ) start(class, oid)
  UNION
  SELECT next.class, next.oid, next.written FROM behind b CROSS JOIN LATERAL (
    SELECT ${CLASS.rule}::pg_catalog.oid AS class, w.oid AS oid, b.written AS written FROM pg_catalog.pg_rewrite w
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation} AND w.ev_class OPERATOR(pg_catalog.=) b.oid
    UNION ALL ${parts(CLASS.policy, 'pg_policy', 'polrelid', CLASS.relation)}
    UNION ALL ${parts(CLASS.trigger, 'pg_trigger', 'tgrelid', CLASS.relation, 'AND b.written AND NOT x.tgisinternal')}
    UNION ALL ${parts(CLASS.default, 'pg_attrdef', 'adrelid', CLASS.relation, 'AND b.written')}
    UNION ALL ${parts(CLASS.constraint, 'pg_constraint', 'conrelid', CLASS.relation, `AND b.written AND x.contype OPERATOR(pg_catalog.<>) 'f'`)}
    UNION ALL ${parts(CLASS.constraint, 'pg_constraint', 'contypid', CLASS.type)}
    UNION ALL
    SELECT ${CLASS.relation}, x.indexrelid, false FROM pg_catalog.pg_index x
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation} AND b.written AND x.indrelid OPERATOR(pg_catalog.=) b.oid
    UNION ALL
    SELECT ${CLASS.relation}, i.inhrelid, b.written FROM pg_catalog.pg_inherits i
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation} AND i.inhparent OPERATOR(pg_catalog.=) b.oid
    UNION ALL
    SELECT ${CLASS.relation}, con.conrelid, true
      FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint con ON con.oid OPERATOR(pg_catalog.=) g.tgconstraint
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.relation} AND b.written AND g.tgrelid OPERATOR(pg_catalog.=) b.oid
       AND con.contype OPERATOR(pg_catalog.=) 'f' AND con.confrelid OPERATOR(pg_catalog.=) b.oid
    UNION ALL
    SELECT named.class, named.oid, named.written FROM pg_catalog.pg_proc p CROSS JOIN LATERAL (${wordsOf('p.prosrc')}) named(class, oid, written)
     WHERE b.class OPERATOR(pg_catalog.=) ${CLASS.function} AND p.oid OPERATOR(pg_catalog.=) b.oid
       AND p.oid OPERATOR(pg_catalog.>=) 16384 AND p.prolang OPERATOR(pg_catalog.<>) ALL (ARRAY[12, 13]::pg_catalog.oid[])
    UNION ALL
    SELECT d.refclassid, d.refobjid,
        b.class OPERATOR(pg_catalog.=) ${CLASS.function} OR (b.class OPERATOR(pg_catalog.=) ${CLASS.rule} AND b.written)
      FROM pg_catalog.pg_depend d
     WHERE d.classid OPERATOR(pg_catalog.=) b.class AND d.objid OPERATOR(pg_catalog.=) b.oid
       AND d.refobjid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid
       AND d.refclassid OPERATOR(pg_catalog.=) ANY (ARRAY[${FOLLOWED.join(', ')}]::pg_catalog.oid[])
       AND NOT (b.class OPERATOR(pg_catalog.=) ${CLASS.type} AND d.refclassid OPERATOR(pg_catalog.=) ${CLASS.relation})
  ) next
)`;
