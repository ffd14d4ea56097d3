import * as fe from '../support/frontend-messages.ts';
import { Random } from '../support/random.ts';
import type { Packets, Script, Step } from './script.ts';
import { COPIES_IN, PARAMETRISED, queryText, statement } from './sql-pool.ts';

const NAMES = ['', '', 's1', 's2', 'S2', 's3', 'a b', 'missing'] as const;
const PORTALS = ['', '', 'p1', 'p2', 'c1', 'missing'] as const;

/** Makes the session of a seed: the same seed, the same bytes. */
export function generateScript(seed: number): Script {
  const random = new Random(seed);
  const maker = new ScriptMaker(random);
  const groups = random.between(2, 9);
  // What runs code of the user's leaves the gateway in doubt, and what is repeated behind it is looked at each time.
  if (random.chance(0.3)) maker.repeated();
  for (let i = 0; i < groups; i++) maker.group();
  const closing = maker.ending();
  return {
    seed,
    startup: random.pick(STARTUPS),
    packets: random.pick(['together', 'together', 'by-message', 'odd'] as const satisfies Packets[]),
    steps: maker.steps,
    closing,
  };
}

const STARTUPS: readonly Record<string, string>[] = [
  {},
  {},
  { application_name: 'fuzz' },
  { client_encoding: 'UTF8', DateStyle: 'ISO, MDY' },
  { client_encoding: 'LATIN1' },
];

class ScriptMaker {
  readonly steps: Step[] = [];
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A few messages that belong together. */
  group(): void {
    const make = this.#random.weighted<() => void>([
      [30, () => this.#simple()],
      [40, () => this.#pipeline()],
      [15, () => this.repeated()],
      [8, () => this.#copyIn()],
      [3, () => this.#functionCall()],
      [3, () => this.#stray()],
      [2, () => this.#large()],
      [4, () => this.#malformed()],
    ]);
    make();
    if (this.#random.chance(0.5)) this.#pause();
  }

  /** One execution of the unnamed portal after another, as programs run the same statement again and again. */
  repeated(): void {
    const random = this.#random;
    const name = random.pick(['', 's1', 's4']);
    const [sql, types, values] = random.chance(0.45)
      ? random.pick(PARAMETRISED)
      : ([statement(random), [], 0] as const);
    const parse = (): void =>
      this.#send(
        `Parse ${JSON.stringify(name)} ${JSON.stringify(sql)} [${types}]`,
        fe.parse(name, sql, types),
      );
    if (name !== '') {
      this.#send(`Close S ${JSON.stringify(name)}`, fe.close('S', name));
      parse();
      this.#send('Sync', fe.sync());
    }
    const describes = random.chance(0.7);
    const times = random.between(3, 7);
    for (let i = 0; i < times; i++) {
      if (random.chance(0.9)) this.#pause();
      if (name === '') parse();
      const parameters = Array.from({ length: values }, () =>
        random.chance(0.1) ? null : random.pick(['1', '2', '30', '0', 'text']),
      );
      this.#send(
        `Bind "" statement ${JSON.stringify(name)} ${JSON.stringify(parameters)}`,
        fe.bind({ statement: name, parameters }),
      );
      if (describes) this.#send('Describe P ""', fe.describe('P', ''));
      this.#send('Execute ""', fe.execute());
      this.#send('Sync', fe.sync());
      // In a block the unnamed portal is still there.
      if (random.chance(0.1)) this.#oddMessage();
      if (random.chance(0.1)) this.#send('Query', fe.query(random.pick(['begin', 'rollback', 'commit'])));
    }
  }

  ending(): Script['closing'] {
    const random = this.#random;
    const end = random.weighted<'in-order' | 'terminate' | 'half-close' | 'fatal'>([
      [70, 'in-order'],
      [12, 'terminate'],
      [10, 'half-close'],
      [8, 'fatal'],
    ]);
    switch (end) {
      case 'in-order':
        return 'in-order';
      case 'terminate':
        this.#send('Terminate', fe.terminate());
        return 'by-script';
      case 'half-close':
        this.steps.push({ kind: 'half-close' });
        return 'by-script';
      case 'fatal': {
        this.#pause();
        const type = random.pick(['!', 'p', 'R', 'Z', 'y', '\u0000']);
        this.#send(`message of the unknown type ${JSON.stringify(type)}`, fe.message(type, Buffer.of(0)));
        return 'by-script';
      }
    }
  }

  #send(what: string, bytes: Buffer): void {
    this.steps.push({ kind: 'send', what, bytes });
  }

  #pause(): void {
    this.steps.push({ kind: 'pause' });
  }

  #simple(): void {
    const count = this.#random.chance(0.3) ? this.#random.between(2, 4) : 1;
    for (let i = 0; i < count; i++) {
      const sql = queryText(this.#random);
      this.#send(`Query ${JSON.stringify(sql)}`, fe.query(sql));
    }
  }

  #pipeline(): void {
    const random = this.#random;
    const segments = random.between(1, 3);
    for (let segment = 0; segment < segments; segment++) {
      const count = random.between(1, 5);
      for (let i = 0; i < count; i++) {
        if (random.chance(0.6)) this.#wholeStatement();
        else this.#oddMessage();
        if (random.chance(0.15)) {
          this.#send('Flush', fe.flush());
          if (random.chance(0.6)) this.#pause();
        }
      }
      // Now and then a Query ends the segment instead, which after an error is discarded with the rest.
      if (random.chance(0.05)) this.#simple();
      this.#send('Sync', fe.sync());
      if (random.chance(0.3)) this.#pause();
    }
  }

  /** Parse, Bind, Describe, Execute as drivers send them, with names from few so that they meet again. */
  #wholeStatement(): void {
    const random = this.#random;
    const name = random.pick(NAMES);
    const portal = random.pick(PORTALS);
    const parametrised = random.chance(0.45);
    const [sql, types, values] = parametrised
      ? random.pick(PARAMETRISED)
      : ([statement(random), [], 0] as const);
    if (random.chance(0.9)) {
      const told = random.chance(0.7) ? types : [];
      this.#send(`Parse ${JSON.stringify(name)} ${JSON.stringify(sql)} [${told}]`, fe.parse(name, sql, told));
    }
    if (random.chance(0.2)) this.#send(`Describe S ${JSON.stringify(name)}`, fe.describe('S', name));
    if (random.chance(0.1)) this.#send(`Close S ${JSON.stringify(name)}`, fe.close('S', name));
    const times = random.chance(0.15) ? 2 : 1;
    for (let i = 0; i < times; i++) this.#bindAndExecute(portal, name, values);
  }

  #bindAndExecute(portal: string, statementName: string, values: number): void {
    const random = this.#random;
    const parameters = Array.from({ length: values }, () =>
      random.chance(0.1) ? null : random.pick(['1', '2', '30', '0', 'text', 'é', '\\x00ff']),
    );
    const resultFormats = random.pick([[], [], [0], [1], [1], [0, 1]]);
    this.#send(
      `Bind portal ${JSON.stringify(portal)} statement ${JSON.stringify(statementName)} ` +
        `${JSON.stringify(parameters)} results [${resultFormats}]`,
      fe.bind({ portal, statement: statementName, parameters, resultFormats }),
    );
    if (random.chance(0.5)) this.#send(`Describe P ${JSON.stringify(portal)}`, fe.describe('P', portal));
    const executions = random.chance(0.2) ? random.between(2, 3) : 1;
    for (let i = 0; i < executions; i++) {
      const rowsMax = random.pick([0, 0, 0, 1, 2, 5]);
      this.#send(`Execute ${JSON.stringify(portal)} max ${rowsMax}`, fe.execute(portal, rowsMax));
    }
    if (random.chance(0.15)) this.#send(`Close P ${JSON.stringify(portal)}`, fe.close('P', portal));
  }

  #oddMessage(): void {
    const random = this.#random;
    const name = random.pick(NAMES);
    const portal = random.pick(PORTALS);
    const send = random.pick([
      () => this.#send(`Describe S ${JSON.stringify(name)}`, fe.describe('S', name)),
      () => this.#send(`Describe P ${JSON.stringify(portal)}`, fe.describe('P', portal)),
      () => this.#send(`Execute ${JSON.stringify(portal)}`, fe.execute(portal)),
      () => this.#send(`Close S ${JSON.stringify(name)}`, fe.close('S', name)),
      () => this.#send(`Close P ${JSON.stringify(portal)}`, fe.close('P', portal)),
      () => this.#send('Flush', fe.flush()),
      () =>
        this.#send(
          `Bind ${JSON.stringify(portal)} to ${JSON.stringify(name)}`,
          fe.bind({ portal, statement: name }),
        ),
      () => {
        const sql = queryText(random);
        this.#send(`Parse ${JSON.stringify(name)} ${JSON.stringify(sql)}`, fe.parse(name, sql));
      },
    ]);
    send();
  }

  #copyIn(): void {
    const random = this.#random;
    const sql = random.chance(0.2)
      ? `${statement(random)}; ${random.pick(COPIES_IN)}; ${statement(random)}`
      : random.pick(COPIES_IN);
    const extended = random.chance(0.4);
    if (extended) {
      this.#send(`Parse "" ${JSON.stringify(sql)}`, fe.parse('', sql));
      this.#send('Bind', fe.bind());
      this.#send('Execute', fe.execute());
      if (random.chance(0.3)) this.#send('Flush', fe.flush());
      // libpq sends this Sync at once; the server ignores it while it reads the data.
      if (random.chance(0.6)) this.#send('Sync', fe.sync());
    } else {
      this.#send(`Query ${JSON.stringify(sql)}`, fe.query(sql));
    }
    if (random.chance(0.4)) this.#pause();
    const rows = random.between(0, 6);
    for (let i = 0; i < rows; i++) {
      const row = random.pick(['a\n', '101\tb\n', 'two', ' halves\n', '\\N\n', 'c\nd\ne\n', '"quoted\n']);
      this.#send(`CopyData ${JSON.stringify(row)}`, fe.copyData(row));
      if (random.chance(0.05)) this.#send('Flush', fe.flush());
      if (random.chance(0.05)) this.#send('Sync', fe.sync());
    }
    if (random.chance(0.75)) this.#send('CopyDone', fe.copyDone());
    else this.#send('CopyFail', fe.copyFail('the client gave up'));
    if (random.chance(0.1)) this.#send('CopyData after the end', fe.copyData('late\n'));
    if (extended && random.chance(0.9)) this.#send('Sync', fe.sync());
  }

  #functionCall(): void {
    const [what, oid, values] = this.#random.pick([
      ['int4pl', 177, ['1', '2']],
      ['int4div', 154, ['1', '0']],
      ['upper', 871, ['text']],
      ['upper(null)', 871, [null]],
      ['unknown function', 999_999, []],
      ['int4pl with one argument', 177, ['1']],
    ] as const);
    this.#send(`FunctionCall ${what}`, fe.functionCall(oid, values));
  }

  /** Messages that belong to COPY, where there is none: the server ignores them. */
  #stray(): void {
    const random = this.#random;
    const send = random.pick([
      () => this.#send('stray CopyData', fe.copyData('stray')),
      () => this.#send('stray CopyDone', fe.copyDone()),
      () => this.#send('stray CopyFail', fe.copyFail('stray')),
      () => this.#send('Sync alone', fe.sync()),
      () => this.#send('Flush alone', fe.flush()),
    ]);
    send();
  }

  #large(): void {
    const random = this.#random;
    const length = random.pick([65_536, 300_000, 1_048_576]);
    const make = random.pick([
      () => this.#send(`Query of ${length} bytes`, fe.query(`select length('${'x'.repeat(length)}')`)),
      () => this.#send(`Query for a row of ${length}`, fe.query(`select repeat('y', ${length})`)),
      () =>
        this.#send('Query for 5000 rows', fe.query('select i, md5(i::text) from generate_series(1, 5000) i')),
      () => {
        this.#send('Parse "" select $1', fe.parse('', 'select $1::text', [25]));
        this.#send(`Bind of ${length} bytes`, fe.bind({ parameters: ['z'.repeat(length)] }));
        this.#send('Execute', fe.execute());
        this.#send('Sync', fe.sync());
      },
      () => {
        this.#send('Query copy in', fe.query('copy fuzz_log(what) from stdin'));
        this.#send(`CopyData of ${length} bytes`, fe.copyData(`${'w'.repeat(length)}\n`));
        this.#send('CopyDone', fe.copyDone());
      },
    ]);
    make();
  }

  /** Well framed messages with contents that the server refuses with an ERROR. */
  #malformed(): void {
    const random = this.#random;
    const [what, bytes] = random.pick([
      ['Query with a NUL inside', fe.query('select 1\0; select 2')],
      ['Parse with a NUL inside', fe.parse('', 'select 1\0; select 2')],
      ['Query without its end', fe.message('Q', Buffer.from('select 1'))],
      ['Query that is empty to the last byte', fe.message('Q')],
      ['Query of bytes that are no UTF-8', fe.query(Buffer.from("select '\xff\xfe'", 'latin1'))],
      ['Describe of the unknown kind X', fe.message('D', Buffer.from('X\0'))],
      ['Close of the unknown kind X', fe.message('C', Buffer.from('X\0'))],
      ['Execute with bytes left over', fe.message('E', fe.cstring(''), fe.int32(0), Buffer.of(1, 2))],
      ['Execute cut short', fe.message('E', fe.cstring(''), Buffer.of(0))],
      ['Bind of an unknown format', fe.bind({ resultFormats: [7] })],
      ['Bind with too many formats', fe.bind({ parameterFormats: [0, 0, 0], parameters: ['1', '2'] })],
      ['Bind cut short', fe.message('B', fe.cstring(''), fe.cstring(''), Buffer.of(0))],
      [
        'Parse with bytes left over',
        fe.message('P', fe.cstring(''), fe.cstring('select 1'), Buffer.of(0, 0, 9)),
      ],
      ['FunctionCall cut short', fe.message('F', fe.int32(177), Buffer.of(0))],
    ] as const);
    this.#send(what, bytes);
    if (random.chance(0.8)) this.#send('Sync', fe.sync());
  }
}
