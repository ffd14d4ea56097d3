import fc from 'fast-check';
import * as fe from '../support/frontend-messages.ts';
import type { ModelVersion } from './model-server.ts';
import { EVIL_PATH } from './model-session.ts';

/** What the client sends, and how it crosses on the wire with what the server and others do. */
export type Step =
  | { readonly kind: 'send'; readonly messages: readonly Buffer[] }
  | { readonly kind: 'work'; readonly count: number }
  | { readonly kind: 'deliver'; readonly count: number }
  /** All that is under way arrives. */
  | { readonly kind: 'calm' }
  /** Somebody answers the statement that is held, if there is one. */
  | { readonly kind: 'approve' }
  | { readonly kind: 'deny' }
  /** A text that is parsed elsewhere is ready. */
  | { readonly kind: 'parsed' };

/** A step that a counterexample shows in words. */
function shown(step: Step): Step {
  const inWords = (message: Buffer) => JSON.stringify(message.toString('latin1').replace(/^(.)..../s, '$1 '));
  const count = 'count' in step ? ` ${step.count}` : '';
  const words = step.kind === 'send' ? `send ${step.messages.map(inWords).join(' ')}` : step.kind + count;
  return Object.defineProperty(step, fc.toStringMethod, { value: () => words });
}

const BLOCKS = ['BEGIN', 'BEGIN', 'COMMIT', 'ROLLBACK', 'COMMIT AND CHAIN', 'SAVEPOINT a', 'ROLLBACK TO a'];
const STRINGS = ['on', 'off', 'on'].map((value) => `SET standard_conforming_strings = ${value}`);
const PATHS = [EVIL_PATH, 'public', 'public'].map((value) => `SET search_path = ${value}`);
const PREPARES = ['x', 'y'].flatMap((name) =>
  ['SELECT 1', 'DELETE 1', 'SELECT f'].map((text) => `PREPARE ${name} AS ${text}`),
);

/** What clients say, by what might go wrong with it. */
const THEMES: readonly (readonly string[])[] = [
  ['SELECT 1', 'DELETE 1', 'EXECUTE x', 'EXECUTE x', 'EXECUTE y'],
  ['SELECT 1', 'DELETE 1', 'EXECUTE x', ...PREPARES, 'DEALLOCATE x', 'DEALLOCATE y', 'DEALLOCATE ALL'],
  ['EXECUTE x', 'BEGIN', ...BLOCKS, 'PREPARE x AS SELECT 1', 'PREPARE x AS DELETE 1', 'DECLARE p', 'CLOSE p'],
  [
    'QUOTE 1',
    'QUOTE 1',
    'SELECT 1',
    ...STRINGS,
    ...BLOCKS,
    'FAIL',
    'SET LOCAL standard_conforming_strings = on',
  ],
  ['QUOTE 1', 'SELECT 1', ...STRINGS, 'RESET ALL', 'DISCARD ALL', 'PREPARE x AS QUOTE 1', 'EXECUTE x'],
  ['SELECT f', 'EXPLAIN f', ...PATHS, ...BLOCKS, 'FAIL', 'SET LOCAL search_path = public'],
  [
    'SELECT f',
    'EXPLAIN f',
    ...PATHS,
    'RESET search_path',
    'DISCARD ALL',
    'PREPARE x AS SELECT f',
    'EXECUTE x',
  ],
  ['SELECT 1', 'DELETE 1', 'COPY', 'COPY', 'TRIGGER', 'BEGIN', 'COMMIT', 'EXECUTE x', 'DEFER'],
  ['SELECT 1', 'DELETE 1', 'UPDATE 1', 'SELECT later', 'DELETE later', 'COPY', 'FAIL', 'DEFER', 'BEGIN'],
  [
    '',
    'BAD',
    'FAIL',
    'DEFER',
    'SELECT 1',
    'DELETE 1',
    'BEGIN',
    'COMMIT',
    'DISCARD ALL',
    'CLOSE ALL',
    'EXECUTE x',
  ],
];

type Group = fc.Arbitrary<readonly Buffer[]>;

/** The few words that a client knows. */
interface Words {
  readonly text: fc.Arbitrary<string>;
  readonly name: fc.Arbitrary<string>;
  readonly portal: fc.Arbitrary<string>;
}

const one = (message: fc.Arbitrary<Buffer>): Group => message.map((bytes) => [bytes]);
const whole = (names: readonly [statement: string, portal: string]) => {
  const [statement, to] = names;
  return [fe.bind({ statement, portal: to }), fe.execute(to)];
};

const SYNC: Group = fc.constant([fe.sync()]);

/** Messages that belong together, by what they are for: those that every client sends, and those that some do. */
const USUAL: readonly ((words: Words) => Group)[] = [
  // Most names are taken before long.
  ({ name, text }) => fc.tuple(name, text).map(([to, sql]) => [fe.close('S', to), fe.parse(to, sql)]),
  ({ text }) => text.map((sql) => [fe.parse('', sql), ...whole(['', ''])]),
  ({ name, portal }) => fc.tuple(name, portal).map(whole),
  ({ text }) => one(text.map((sql) => fe.query(sql))),
  ({ text }) => fc.tuple(text, text).map((both) => both.map((sql) => fe.query(sql))),
];
const SPECIAL: readonly ((words: Words) => Group)[] = [
  ({ name, text }) => one(fc.tuple(name, text).map(([to, sql]) => fe.parse(to, sql))),
  ({ name, portal }) =>
    one(fc.tuple(name, portal).map(([statement, to]) => fe.bind({ statement, portal: to }))),
  ({ portal }) => one(portal.map((to) => fe.execute(to))),
  // A portal that is executed when its statement's name, or that of another, has been given away.
  ({ name, portal, text }) =>
    fc
      .tuple(name, portal, name, text)
      .map(([statement, to, other, sql]) => [
        ...[fe.bind({ statement, portal: to }), fe.close('S', other), fe.parse(other, sql)],
        fe.execute(to),
      ]),
  ({ name, portal }) =>
    fc
      .tuple(name, portal)
      .map(([statement, to]) => [
        ...[fe.close('P', to), fe.bind({ statement, portal: to }), fe.sync(), fe.execute(to)],
      ]),
  ({ portal }) =>
    one(
      fc.oneof(
        portal.map((to) => fe.close('P', to)),
        fc.constant(fe.flush()),
      ),
    ),
  ({ name }) => one(name.map((statement) => fe.describe('S', statement))),
  ({ name }) => one(name.map((statement) => fe.close('S', statement))),
  () => one(fc.constantFrom(fe.functionCall(1, []), fe.functionCall(2, []))),
  ({ text }) => one(fc.array(text, { minLength: 2, maxLength: 3 }).map((parts) => fe.query(parts.join(';')))),
  () =>
    fc
      .tuple(
        fc.boolean(),
        fc.boolean(),
        fc.constantFrom(fe.copyDone(), fe.copyFail('no'), fe.copyData('bad')),
      )
      .map(([early, data, end]) => [
        ...(early ? [fe.sync()] : []),
        ...(data ? [fe.copyData('good')] : []),
        end,
      ]),
];

/** What is sent once, and what several times behind it. */
interface Repeated {
  readonly first: readonly Buffer[];
  readonly messages: readonly Buffer[];
}

/** One execution of the unnamed portal, as most drivers send it, of a statement that is prepared or parsed each time. */
function execution({ name, text }: Words): fc.Arbitrary<Repeated> {
  return fc.tuple(text, name, fc.boolean(), fc.boolean()).map(([sql, to, isPrepared, describes]) => ({
    first: isPrepared ? [fe.close('S', to), fe.parse(to, sql), fe.sync()] : [],
    messages: [
      ...(isPrepared ? [] : [fe.parse('', sql)]),
      fe.bind({ statement: isPrepared ? to : '' }),
      ...(describes ? [fe.describe('P', '')] : []),
      ...[fe.execute(), fe.sync()],
    ],
  }));
}

function steps(groups: readonly Group[], executions: fc.Arbitrary<Repeated>): fc.Arbitrary<readonly Step[]> {
  const group = fc.oneof({ weight: 4, arbitrary: fc.oneof(...groups) }, { weight: 1, arbitrary: SYNC });
  const send = fc
    .tuple(fc.array(group, { minLength: 1, maxLength: 5, size: 'max' }), fc.boolean())
    .map(([sent, isClosed]) =>
      shown({ kind: 'send', messages: [...sent.flat(), ...(isClosed ? [fe.sync()] : [])] }),
    );
  const count = fc.integer({ min: 1, max: 12 });
  const others = ['approve', 'deny', 'parsed'] as const;
  const crossing = fc.oneof(
    { weight: 4, arbitrary: fc.constant(shown({ kind: 'calm' })) },
    { weight: 2, arbitrary: count.map((n) => shown({ kind: 'work', count: n })) },
    { weight: 2, arbitrary: count.map((n) => shown({ kind: 'deliver', count: n })) },
    { weight: 1, arbitrary: fc.constantFrom(...others).map((kind) => shown({ kind })) },
  );
  const crossings = fc.array(crossing, { maxLength: 3, size: 'max' });
  const again = fc
    .tuple(executions, fc.array(crossings, { minLength: 3, maxLength: 6, size: 'max' }))
    .map(([{ first, messages }, between]) => [
      ...(first.length === 0 ? [] : [shown({ kind: 'send', messages: first })]),
      ...between.flatMap((each) => [shown({ kind: 'send', messages }), ...each]),
    ]);
  const burst = fc.oneof(
    { weight: 3, arbitrary: fc.tuple(send, crossings).map(([sent, each]) => [sent, ...each]) },
    { weight: 1, arbitrary: again },
  );
  return fc.array(burst, { minLength: 1, maxLength: 7, size: 'max' }).map((bursts) => bursts.flat());
}

/**
 * A client that knows only a few texts, names and ways to send them, another few each time: one that does everything
 * fails at once and gets nowhere.
 */
export const scripts: fc.Arbitrary<readonly Step[]> = fc
  .record({
    texts: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...THEMES) },
      { weight: 1, arbitrary: fc.array(fc.constantFrom(...THEMES.flat()), { minLength: 4, maxLength: 8 }) },
    ),
    names: fc.constantFrom(['x'], ['', 'x'], ['x', 'y'], ['', 'x', 'y']),
    portals: fc.constantFrom([''], ['p'], ['', 'p']),
    special: fc.subarray([...SPECIAL], { maxLength: 4 }),
  })
  .chain(({ texts, names, portals, special }) => {
    const words = {
      text: fc.constantFrom(...texts),
      name: fc.constantFrom(...names),
      portal: fc.constantFrom(...portals),
    };
    return steps(
      [...USUAL, ...special].map((group) => group(words)),
      execution(words),
    );
  });

export const versions: fc.Arbitrary<ModelVersion> = fc.record({
  defaults: fc.record({
    standardStrings: fc.constantFrom('on', 'on', 'off'),
    path: fc.constant('public'),
  }),
  tellsPath: fc.boolean(),
});
