import { quoteName } from '../../src/catalog/quote.ts';
import type { Random } from '../support/random.ts';

/** Random tables with all that hangs on them, and an ALTER TABLE that takes some of it away. */
export interface RandomAlter {
  /** One statement each; those that PostgreSQL refuses are left out. */
  readonly setup: readonly string[];
  readonly alter: string;
}

const ODD = ['t', 'Ta ble', 'ü"ß', 'select', "o'c", 'a.b', '日本', 'x\\y'];

/** A type, values of it, and what it may be changed to: without an expression, or by one on $. */
const TYPES: readonly {
  readonly type: string;
  readonly value: string;
  readonly constant: string;
  readonly others: readonly string[];
}[] = [
  {
    type: 'int',
    value: 'g * 7 % 90',
    constant: '5',
    others: [
      'bigint',
      'numeric',
      'smallint',
      'text',
      'text using $::text',
      'boolean using $ > 3',
      'oid',
      'int using $ + 1',
    ],
  },
  {
    type: 'numeric(12, 4)',
    value: 'g / 3.0',
    constant: '1.5',
    others: ['int', 'numeric(20, 4)', 'numeric', 'float8', 'text', 'numeric(9, 1)'],
  },
  {
    type: 'text',
    value: `repeat('ä' || g, g % 5)`,
    constant: `'x'`,
    others: [
      'varchar(40)',
      'char(30)',
      'varchar',
      'int using length($)',
      'bytea using convert_to($, $$UTF8$$)',
      'text collate "C"',
      'text[] using array[$]',
    ],
  },
  {
    type: 'varchar(20)',
    value: `'v' || g`,
    constant: `'y'`,
    others: ['text', 'varchar(10)', 'varchar(90)', 'int using length($)', 'name'],
  },
  {
    type: 'timestamptz',
    value: `'2026-01-01'::timestamptz + g * interval '1 hour 1 microsecond'`,
    constant: 'now()',
    others: ['timestamp', 'date', 'text', 'timestamptz(0)', 'time using $::time'],
  },
  {
    type: 'jsonb',
    value: `jsonb_build_object('a', g)`,
    constant: `'{}'`,
    others: ['json using $::json', 'text', 'int using ($ -> $$a$$)::int'],
  },
  {
    type: 'bit(6)',
    value: `(g % 64)::bit(6)`,
    constant: `B'101010'`,
    others: ['varbit', 'int using $::int', 'text'],
  },
  { type: 'float4', value: 'g / 7.0', constant: '0.1', others: ['float8', 'numeric', 'int', 'text'] },
  {
    type: 'int[]',
    value: 'array[g, null, g * 2]',
    constant: `'{}'`,
    others: ['bigint[]', 'text', 'int using $[1]', 'text[]'],
  },
  {
    type: 'feeling',
    value: `(enum_range(null::feeling))[g % 3 + 1]`,
    constant: `'so'`,
    others: ['text', 'int using length($::text)', 'varchar(3) using left($::text, 3)'],
  },
  {
    type: 'timestamp(0)',
    value: `timestamp '2026-01-01' + g * interval '1 hour'`,
    constant: 'now()',
    others: ['timestamp', 'timestamp(3)', 'timestamptz', 'text'],
  },
  {
    type: 'numeric(10, 2)',
    value: 'g * 1.25',
    constant: '2.5',
    others: ['numeric', 'numeric(14, 2)', 'float8', 'numeric(14, 4)'],
  },
  { type: 'positive', value: 'g', constant: '3', others: ['int', 'bigint', 'text'] },
];

interface Column {
  readonly name: string;
  readonly type: (typeof TYPES)[number];
}

export function randomAlter(random: Random): RandomAlter {
  const setup: string[] = [];
  const table = quoteName(`${random.pick(ODD)}${random.between(1, 9)}`);
  const shape = random.weighted([
    [6, 'plain'],
    [2, 'parted'],
    [2, 'parent'],
  ] as const);
  const columns: Column[] = Array.from({ length: random.between(2, 5) }, (_, i) => ({
    name: quoteName(`${random.pick(ODD)} ${i}`),
    type: random.pick(TYPES),
  }));
  setup.push(
    `create table ${table} (${tableBody(random, columns, shape !== 'parent' || random.chance(0.5))})${shape === 'parted' ? ' partition by range (id)' : ''}`,
  );
  if (shape === 'parted')
    for (const [i, bound] of ['from (minvalue) to (20)', 'from (20) to (1000)'].entries())
      setup.push(`create table ${quoteName(`part ${i}`)} partition of ${table} for values ${bound}`);
  if (shape === 'parent')
    setup.push(
      `create table kid (own int default 4) inherits (${table})`,
      `insert into kid (id, own) select g, g from generate_series(100, 110) g`,
    );
  setup.push(`insert into ${table} (id, ${columns.map(({ name }) => name).join(', ')})
    select g, ${columns.map(({ type }) => (random.chance(0.15) ? `case when g % 3 = 0 then null else ${type.value} end` : type.value)).join(', ')} from generate_series(1, 40) g`);
  const constraints = decorate(random, table, columns, setup);
  if (random.chance(0.15)) return { setup, alter: dropOfPart(random, table, setup) };
  const commands = Array.from(
    {
      length: random.weighted([
        [5, 1],
        [3, 2],
        [2, 3],
      ] as const),
    },
    () => command(random, table, columns, constraints, shape),
  );
  // PostgreSQL 15 leaves partitions without what the whole has where one statement both sets and drops that.
  const setsNull = commands.filter((each) => each.endsWith('not null'));
  for (const each of setsNull.slice(1)) commands.splice(commands.lastIndexOf(each), 1);
  const [detach] = commands.filter((each) => /^detach|^no inherit/.test(each));
  const only = random.chance(0.1) ? 'only ' : '';
  if (detach !== undefined)
    return {
      setup,
      alter: detach.startsWith('no') ? `alter table kid ${detach}` : `alter table ${table} ${detach}`,
    };
  return { setup, alter: `alter table ${only}${table} ${commands.join(', ')}` };
}

/** Of what has been made, by the name that it was given. */
function dropOfPart(random: Random, table: string, setup: readonly string[]): string {
  const made = setup.flatMap((sql) => {
    const [, kind, name] = /^create (index|trigger|rule|policy) ("(?:[^"]|"")+"|r) /.exec(sql) ?? [];
    return kind === undefined ? [] : [kind === 'index' ? `index ${name}` : `${kind} ${name} on ${table}`];
  });
  return `drop ${random.pick([...made, 'index nope'])}${random.chance(0.2) ? ' cascade' : ''}`;
}

function tableBody(random: Random, columns: readonly Column[], keyed: boolean): string {
  const id = random.weighted([
    [4, 'id int'],
    [2, 'id int generated always as identity'],
    [1, 'id serial'],
    [1, 'id bigint'],
  ] as const);
  const parts = columns.map(({ name, type }) =>
    [
      `${name} ${type.type}`,
      random.chance(0.3) ? `default ${type.constant}` : '',
      random.chance(0.15)
        ? `constraint ${quoteName(`has ${name.slice(1, 3)}${random.between(1, 999)}`)} not null`
        : '',
    ].join(' '),
  );
  const computed = random.chance(0.2) ? ['"computed" int generated always as (id * 2) stored'] : [];
  return [
    id.replace(' as identity', ' as identity (start 1000)'),
    ...parts,
    ...computed,
    ...(keyed && random.chance(0.8)
      ? [`constraint ${quoteName(`${random.pick(ODD)} pk`)} primary key (id)`]
      : []),
  ].join(', ');
}

/** Gives back the names of the constraints that may be there. */
function decorate(random: Random, table: string, columns: readonly Column[], setup: string[]): string[] {
  const constraints: string[] = ODD.map((name) => quoteName(`${name} pk`));
  const made = (name: string): string => {
    constraints.push(quoteName(name));
    return quoteName(name);
  };
  const column = () => random.pick(columns).name;
  const some: readonly (readonly [number, () => string])[] = [
    [
      3,
      () =>
        `alter table ${table} add constraint ${made(`check ${random.between(1, 99)}`)} check (${column()} is not null or id > 0)${random.chance(0.2) ? ' not valid' : ''}`,
    ],
    [
      1,
      () =>
        `alter table ${table} add constraint ${made(`check ${random.between(1, 99)}`)} check (id <> 77777) no inherit`,
    ],
    [
      2,
      () =>
        `alter table ${table} add constraint ${made(`unique ${random.between(1, 99)}`)} unique (id, ${column()})${random.chance(0.3) ? ' deferrable initially deferred' : ''}`,
    ],
    [
      2,
      () =>
        `create table "other ${random.between(1, 9)}" (id int primary key); insert into "other 1" select generate_series(1, 200)`,
    ],
    [
      2,
      () =>
        `alter table ${table} add constraint ${made(`fk ${random.between(1, 9)}`)} foreign key (id) references "other ${random.between(1, 2)}"${random.pick(['', ' on delete cascade', ' deferrable', ' not valid'])}`,
    ],
    [
      2,
      () =>
        `create table "refers ${random.between(1, 9)}" (id int, to_it int references ${table} (id) on update cascade)`,
    ],
    [
      3,
      () =>
        `create index ${quoteName(`i ${random.between(1, 99)}`)} on ${table} (${column()})${random.chance(0.3) ? ' where id > 5' : ''}`,
    ],
    [1, () => `create index on ${table} ((${column()}::text))`],
    [
      1,
      () => `create statistics ${quoteName(`s ${random.between(1, 99)}`)} on id, ${column()} from ${table}`,
    ],
    [1, () => `comment on column ${table}.${column()} is 'said'`],
    [1, () => `comment on constraint ${random.pick(constraints)} on ${table} is 'why'`],
    [1, () => `alter table ${table} cluster on ${random.pick(constraints)}`],
    [
      1,
      () =>
        `alter table ${table} replica identity ${random.pick(['full', 'nothing', `using index ${random.pick(constraints)}`])}`,
    ],
    [
      1,
      () =>
        `alter table ${table} alter ${column()} set storage ${random.pick(['external', 'main', 'plain'])}`,
    ],
    [1, () => `alter table ${table} alter ${column()} set statistics 77`],
    [1, () => `grant select (${column()}), update on ${table} to reader`],
    [
      1,
      () =>
        `create trigger ${quoteName(random.pick(ODD))} before insert or update on ${table} for each row execute function noticed()`,
    ],
    [
      1,
      () =>
        `create policy "p ${random.between(1, 9)}" on ${table} for ${random.pick(['all', 'select', 'delete'])} using (${column()} is not null)`,
    ],
    [1, () => `alter table ${table} set (fillfactor = 66)`],
    [1, () => `create view "seen ${random.between(1, 99)}" as select id, ${column()} from ${table}`],
    [1, () => `create rule r as on delete to ${table} do also select 1`],
  ];
  for (let i = random.between(2, 9); i > 0; i--) setup.push(...random.weighted(some)().split('; '));
  return constraints;
}

function command(
  random: Random,
  table: string,
  columns: readonly Column[],
  constraints: readonly string[],
  shape: string,
): string {
  const column = random.pick(columns);
  const cascade = random.chance(0.4) ? ' cascade' : '';
  return random.weighted<() => string>([
    [
      9,
      () => {
        const key = random.chance(0.15);
        const to = key
          ? random.pick(['bigint', 'numeric', 'text', 'int using id + 0'])
          : random.pick(column.type.others);
        const name = key ? 'id' : column.name;
        return `alter ${name} type ${to
          .replaceAll('$$', '\u0000')
          .replaceAll('$', () => name)
          .replaceAll('\u0000', () => '$$')}`;
      },
    ],
    [3, () => `alter ${column.name} drop default`],
    [2, () => `alter ${column.name} set default ${column.type.constant}`],
    [3, () => `alter ${column.name} drop not null`],
    [1, () => `alter ${column.name} set not null`],
    [1, () => 'alter id drop identity if exists'],
    [5, () => `drop constraint if exists ${random.pick(constraints)}${cascade}`],
    [1, () => `add constraint "new ${random.between(1, 9)}" check (id <> 88888)`],
    [1, () => `add column "added ${random.between(1, 9)}" int default 7`],
    [1, () => `disable trigger ${random.pick(['user', quoteName(random.pick(ODD))])}`],
    [
      1,
      () =>
        random.pick([
          'enable row level security',
          'replica identity nothing',
          'set without cluster',
          'set (fillfactor = 40)',
          'reset (fillfactor)',
        ]),
    ],
    [1, () => `alter ${column.name} set storage plain`],
    [shape === 'parted' ? 4 : 0, () => `detach partition ${quoteName(`part ${random.between(0, 1)}`)}`],
    [shape === 'parent' ? 2 : 0, () => `no inherit ${table}`],
    [1, () => 'alter "computed" set expression as (id + 3)'],
  ])();
}
