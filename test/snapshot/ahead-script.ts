import * as fe from '../support/frontend-messages.ts';
import { Random } from '../support/random.ts';
import { ELSEWHERE, meanwhile, ROWS, TABLES } from './early-script.ts';

/**
 * Random sessions that change one row after another by its key in transactions, and by what is prepared, while others change
 * the same rows, or what the table is.
 */

export interface AheadStep {
  readonly what: string;
  /** Done by another session in front of it. */
  readonly elsewhere: readonly string[];
  /** Another session has done this when the step is sent, and ends its transaction once that waits, or is done. */
  readonly meanwhile: {
    readonly sql: string;
    readonly end: 'commit' | 'rollback' | 'cancel' | 'terminate' | 'vanish';
  } | null;
  readonly bytes: Buffer;
  /** How many ReadyForQuery it is answered with. */
  readonly ready: number;
  /** It changes rows in a way that is not captured, or hides those that are. */
  readonly aside: boolean;
}

export interface AheadScript {
  readonly seed: number;
  readonly setup: readonly string[];
  readonly role: string;
  readonly settings: readonly string[];
  readonly warm: readonly Buffer[];
  readonly steps: readonly AheadStep[];
}

export const STATEMENTS: Readonly<Record<string, { readonly sql: string; readonly parameters: number }>> = {
  note: { sql: 'update kept set note = $1 where id = $2', parameters: 2 },
  amount: { sql: 'update kept set amount = $1 where id = $2', parameters: 2 },
  both: { sql: 'UPDATE public.kept AS k SET note = $1, amount = amount + 1 WHERE $2 = k.id', parameters: 2 },
  divide: { sql: 'update kept set amount = 1 / (amount - $1) where id = $2', parameters: 2 },
  condition: { sql: 'update kept set note = $1 where id = $2 and amount < 100', parameters: 2 },
  key: { sql: 'update kept set id = $1 where id = $2', parameters: 2 },
  remove: { sql: 'delete from kept where id = $1', parameters: 1 },
  returning: { sql: 'update kept set note = $1 where id = $2 returning id, note', parameters: 2 },
  literal: { sql: `update kept set note = 'literal' where id = 4`, parameters: 0 },
  text: { sql: `update kept set amount = 7 where note = $1`, parameters: 1 },
};

const SETTINGS = [
  `set default_transaction_isolation = 'repeatable read'`,
  `set default_transaction_isolation = 'serializable'`,
  'set session_replication_role = replica',
  'set client_encoding = latin1',
  `set datestyle = 'sql, dmy'`,
  'set bytea_output = escape',
  'set client_min_messages = debug1',
  'set search_path = nowhere, public',
  'set plan_cache_mode = force_generic_plan',
  'set statement_timeout = 1500',
  'set lock_timeout = 60',
  'set row_security = off',
  'set default_transaction_read_only = on',
  `set default_transaction_isolation = 'serializable'; set default_transaction_deferrable = on`,
];

const BEGINS = [
  'begin',
  'begin',
  'begin',
  'begin isolation level repeatable read',
  'begin isolation level serializable',
  'begin read only',
  'begin isolation level serializable, read only, deferrable',
  'begin isolation level serializable deferrable',
  'start transaction isolation level read committed read write',
];

const BESIDE = [
  'select count(*) from kept',
  'select 1/0',
  'selec 1',
  'select * from missing',
  `set local work_mem = '1MB'`,
  `set local lock_timeout = '40ms'`,
  `set local statement_timeout = '700ms'`,
  'set local search_path = nowhere, public',
  'set constraints all immediate',
  'set constraints all deferred',
  'declare c cursor for select id from kept order by 1',
  'declare h cursor with hold for select id from kept order by 1',
  'declare s scroll cursor for select id from kept order by 1',
  'fetch c',
  'fetch 2 from h',
  'fetch c',
  'close c',
  'select pg_advisory_xact_lock(1)',
  'select pg_advisory_lock(2)',
  'listen ahead',
  `notify ahead, 'so'`,
  `select pg_notify('ahead', 'too')`,
  'unlisten *',
  'copy (select id from kept order by id limit 3) to stdout',
  'set transaction read only',
  'set transaction isolation level serializable',
  'show transaction_isolation',
  'deallocate all',
  'discard plans',
  'lock table kept in row exclusive mode',
  'lock table kept in access exclusive mode',
  'select id from kept where id = 5 for update',
  'prepare mine as select 1',
  'execute mine',
  'reset search_path',
];

/** What is not captured, or is altered by the client itself. */
const ASIDE = [
  `insert into kept (id, note, amount) values (500, 'five', 500)`,
  'create temp table kept as select * from public.kept',
  'create temp table kept (like public.kept including all)',
  'drop table if exists pg_temp.kept',
  'alter table kept add own int default 3',
  'alter table kept alter amount type numeric',
  'create index on kept (amount)',
  `create function pg_temp.f() returns int language sql as 'select 1'`,
];

export function aheadScript(seed: number): AheadScript {
  const random = new Random(seed);
  const table = TABLES[random.chance(0.5) ? 'plain' : random.pick(Object.keys(TABLES))]!;
  const steps: AheadStep[] = [];
  const make = new Maker(random, table.assigned, table.conditions, steps);
  for (let i = random.between(2, 5); i > 0; i--) make.group();
  make.query(random.pick(['commit', 'rollback']));
  const warm = Object.entries(STATEMENTS).map(([name, { sql }]) => fe.parse(name, sql));
  return {
    seed,
    setup: [
      ...(table.before === undefined ? [] : [table.before]),
      `create table kept (${table.columns})`,
      ROWS,
      'grant all on kept to limited',
      ...(table.beside ?? []),
    ],
    role: table.role ?? 'postgres',
    settings: random.chance(0.6) ? [] : [random.pick(SETTINGS)],
    warm: [
      Buffer.concat([...warm, fe.sync()]),
      ...Object.entries(STATEMENTS).flatMap(([statement, { parameters }]) =>
        (statement === 'note' ? [29, 29] : random.chance(0.5) ? [29] : []).map((id) => {
          const all = parameters === 2 ? [statement === 'divide' ? '1' : '29', String(id)] : [String(id)];
          return Buffer.concat([
            fe.bind({ statement, parameters: parameters === 0 ? [] : all }),
            fe.execute(),
            fe.sync(),
          ]);
        }),
      ),
    ],
    steps,
  };
}

class Maker {
  readonly #random: Random;
  readonly #assigned: readonly string[];
  readonly #conditions: readonly ((id: number) => string)[];
  readonly #steps: AheadStep[];

  constructor(
    random: Random,
    assigned: readonly string[],
    conditions: readonly ((id: number) => string)[],
    steps: AheadStep[],
  ) {
    this.#random = random;
    this.#assigned = assigned;
    this.#conditions = conditions;
    this.#steps = steps;
  }

  group(): void {
    const random = this.#random;
    if (random.chance(0.5)) {
      for (let i = random.between(1, 4); i > 0; i--) this.#segment();
      return;
    }
    if (random.chance(0.15)) this.query(random.pick(BESIDE));
    this.query(random.pick(BEGINS));
    for (let i = random.between(1, 7); i > 0; i--) {
      random.weighted<() => void>([
        [10, () => this.#write()],
        [3, () => this.#savepoint()],
        [4, () => this.query(random.pick(BESIDE))],
        [7, () => this.#segment()],
        [0.5, () => this.#several()],
        [0.5, () => this.query(random.pick(ASIDE), true)],
      ])();
    }
    this.query(
      random.weighted([
        [5, 'commit'],
        [2, 'rollback'],
        [1, 'commit and chain'],
        [1, 'rollback and chain'],
        [0.5, `prepare transaction 'ahead'`],
      ]),
    );
  }

  query(sql: string, aside = false): void {
    this.#push(sql, fe.query(sql), 1, aside);
  }

  #savepoint(): void {
    const name = this.#random.pick(['a', 'b', 'holdfast_own']);
    const does = this.#random.pick(['savepoint', 'savepoint', 'rollback to', 'release']);
    this.query(`${does} ${name}`);
  }

  #write(): void {
    const sql = this.#sql();
    this.#push(sql, fe.query(sql), 1, false, true);
  }

  /** Several Queries at once. */
  #several(): void {
    const all = Array.from({ length: this.#random.between(2, 4) }, () => this.#sql());
    this.#push(
      `at once: ${all.join(' | ')}`,
      Buffer.concat(all.map((sql) => fe.query(sql))),
      all.length,
      false,
    );
  }

  #sql(): string {
    const random = this.#random;
    const id = random.between(1, 12);
    const condition = (random.chance(0.6) ? this.#conditions[0]! : random.pick(this.#conditions))(id);
    const target = random.weighted([
      [8, 'kept'],
      [1, 'public.kept'],
      [1, 'only kept'],
    ] as const);
    const change = random.chance(0.25)
      ? `delete from ${target} where ${condition}`
      : `update ${target} set ${random.pick(this.#assigned)} where ${condition}`;
    return random.weighted([
      [10, change],
      [1, ` \n${change} ; `],
      [1, `${change} -- so`],
      [2, `${change} returning id, note`],
      [0.5, `explain ${change}`],
      [0.5, `${change}, missing = 1`],
      [0.3, `${change}; select 1`],
    ]);
  }

  #segment(): void {
    const random = this.#random;
    const parts: Buffer[] = [];
    const said: string[] = [];
    const count = random.weighted([
      [6, 1],
      [1, 2],
      [1, 3],
    ] as const);
    for (let i = 0; i < count; i++) this.#run(parts, said);
    const ends = random.weighted([
      [10, 1],
      [2, 2],
      [1, 3],
    ] as const);
    parts.push(fe.sync());
    said.push('sync');
    for (let i = 1; i < ends; i++) {
      this.#run(parts, said);
      parts.push(fe.sync());
      said.push('sync');
    }
    this.#push(said.join(', '), Buffer.concat(parts), ends, false, ends === 1);
  }

  #run(parts: Buffer[], said: string[]): void {
    const random = this.#random;
    const name = random.pick(Object.keys(STATEMENTS));
    const { sql, parameters: count } = STATEMENTS[name]!;
    const id = random.between(1, 12);
    const unnamed = random.chance(0.3);
    const portal = random.chance(0.2) ? 'p' : '';
    const isBinary = random.chance(0.2);
    const key = random.weighted<Buffer | string | null>([
      [12, isBinary ? fe.int32(id) : String(id)],
      [0.5, null],
      [0.5, 'three'],
    ]);
    const first = random.pick(['x', '7', '1000', null, 'é', '', `row ${id}`, String(id), '103']);
    const parameters = name === 'text' ? [first] : count === 2 ? [first, key] : count === 1 ? [key] : [];
    if (random.chance(0.02)) parameters.pop();
    const isKeyBinary = isBinary && Buffer.isBuffer(key);
    const parameterFormats =
      isKeyBinary && parameters.length > 0 && name !== 'text'
        ? parameters.map((_, i) => (i === parameters.length - 1 ? 1 : 0))
        : [];
    if (unnamed) {
      const types = count === 2 && random.chance(0.2) ? [25, 23] : [];
      parts.push(fe.parse('', sql, types));
      said.push(`parse ${types}`);
      if (random.chance(0.3)) parts.push(fe.describe('S'));
    }
    const resultFormats = random.chance(0.1) ? [1] : [];
    parts.push(
      fe.bind({ portal, statement: unnamed ? '' : name, parameters, parameterFormats, resultFormats }),
    );
    said.push(`bind ${name} ${JSON.stringify(parameters.map(String))} ${parameterFormats} to '${portal}'`);
    if (random.chance(0.05)) parts.push(fe.flush());
    if (random.chance(0.5)) parts.push(fe.describe('P', portal));
    const limit = random.chance(0.08) ? 1 : 0;
    parts.push(fe.execute(portal, limit));
    said.push(`execute ${limit}`);
    if (random.chance(0.05)) parts.push(fe.flush());
    if (portal !== '' || random.chance(0.05)) parts.push(fe.close('P', portal));
    if (random.chance(0.03)) {
      parts.push(fe.parse('', 'selec'));
      said.push('a wrong parse');
    }
  }

  #push(what: string, bytes: Buffer, ready: number, aside: boolean, mayWait = false): void {
    const random = this.#random;
    const others = random.pick(meanwhile(random.between(1, 6)));
    const end = random.weighted([
      [4, 'commit'],
      [3, 'rollback'],
      [2, 'cancel'],
      [0.5, 'terminate'],
      [0.3, 'vanish'],
    ] as const);
    this.#steps.push({
      what,
      elsewhere: random.chance(0.07) ? [random.pick(ELSEWHERE)] : [],
      meanwhile: mayWait && random.chance(0.12) ? { sql: others, end } : null,
      bytes,
      ready,
      aside,
    });
  }
}
