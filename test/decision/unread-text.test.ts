import { describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { DEFAULT_POLICY } from '../support/gateway.ts';
import { describeAll, errorsOf, type RawClient, statusOf } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';
import { heldId } from './fixture.ts';

const BEHIND_ONE = 'insert into precious values (11); ';
const TYPING_ERRORS: readonly fe.Text[] = [
  'selct 1',
  'select * form precious',
  "select 'a",
  'select "a',
  'select /* a',
  'delete from precious where',
  `${BEHIND_ONE}selct 2`,
  `begin; ${BEHIND_ONE}selct 2; commit`,
  "select U&'\\0'",
  Buffer.from("select '\xe4'", 'latin1'),
  Buffer.from("delete from precious where note = '\xe4'", 'latin1'),
];

describe('a Query that nobody can read, with the default policy', () => {
  const under = besideDirect(DEFAULT_POLICY, 18, 'select 1');

  /** What a client is told of these, one after the other, directly and through the gateway. */
  async function told(texts: readonly fe.Text[]): Promise<{ direct: string[]; through: string[] }> {
    const ask = async (client: RawClient) => {
      const answers: string[] = [];
      for (const text of texts) answers.push(describeAll(await client.query(text)));
      return answers;
    };
    return { direct: await ask(under.direct), through: await ask(under.client) };
  }

  it('is refused by the server in its own words, and nobody is asked', async () => {
    const { direct, through } = await told(TYPING_ERRORS);
    expect(through).toEqual(direct);
    expect(await under.fixture.preciousRows()).toBe(10);
    expect(await under.client.rows('select 1')).toEqual([['1']]);
  });

  it('fails the transaction that it stands in, as directly, and one that has failed already', async () => {
    const texts = [
      'begin',
      'savepoint a',
      'selct 1',
      'select 1',
      'selct 2',
      'rollback to a',
      'select 1',
      'commit',
    ];
    const { direct, through } = await told(texts);
    expect(through).toEqual(direct);
  });

  it('is refused behind what is under way, in its place', async () => {
    const bytes = [fe.query('select 1'), fe.query('selct 1'), fe.query('select 2')];
    const answers: string[] = [];
    for (const client of [under.direct, under.client]) {
      client.write(...bytes);
      const messages = [...(await client.untilReady()), ...(await client.untilReady())];
      answers.push(describeAll([...messages, ...(await client.untilReady())]));
    }
    expect(answers[1]).toBe(answers[0]);
  });

  it.each([
    "delete from precious where note = 'a\\''",
    "insert into other values (1); delete from precious where note = 'a\\''",
  ])('waits for people where the server can read what the gateway cannot: %s', async (text) => {
    const { client } = under;
    await client.query('set standard_conforming_strings = off');
    client.write(fe.query(text));
    await under.fixture.resolve(await heldId(client), 'deny');
    const messages = await client.untilReady();
    expect(errorsOf(messages)).toMatchObject([{ C: '42501' }]);
    expect(statusOf(messages)).toBe('I');
  });
});

describe('a Query that nobody can read, where policy blocks it', () => {
  const under = besideDirect('mode: protect\ndefaults: { critical: block }\n', 18, 'select 1');

  it('is not shown to the server', async () => {
    expect(errorsOf(await under.client.query('selct 1'))).toMatchObject([{ C: '42501' }]);
  });
});

describe('the Execute of a portal that nobody has bound, with the default policy', () => {
  const under = besideDirect(DEFAULT_POLICY, 18, 'select 1');
  const fetching = [
    fe.parse('', 'select id from precious order by id'),
    fe.bind({ portal: 'c1' }),
    fe.execute('c1', 2),
  ];

  /** What a client reads for the messages of each step; from where in the server's source an error comes, left out. */
  async function told(
    steps: readonly (readonly Buffer[])[],
  ): Promise<{ direct: string[]; through: string[] }> {
    const ask = async (client: RawClient) => {
      const answers: string[] = [];
      for (const step of steps) {
        client.write(...step);
        answers.push(describeAll(await client.untilReady()).replaceAll(/,"F":.*?"}/g, '}'));
      }
      return answers;
    };
    return { direct: await ask(under.direct), through: await ask(under.client) };
  }

  it.each<[string, readonly (readonly Buffer[])[]]>([
    ['that nobody ever made', [[fe.execute('nothing'), fe.sync()]]],
    [
      'whose transaction is over',
      [[fe.query('begin')], [...fetching, fe.sync()], [fe.query('commit')], [fe.execute('c1', 2), fe.sync()]],
    ],
    [
      'that was closed',
      [[...fetching, fe.close('P', 'c1'), fe.execute('c1'), fe.query('select 1'), fe.sync()]],
    ],
    [
      'in a transaction',
      [
        [fe.query('begin')],
        [fe.execute('nothing'), fe.sync()],
        [fe.query('select 1')],
        [fe.query('rollback')],
      ],
    ],
    [
      'in one that has failed',
      [
        [fe.query('begin')],
        [fe.query('select 1/0')],
        [fe.execute('nothing'), fe.sync()],
        [fe.query('rollback')],
      ],
    ],
    [
      'behind what has run in its segment',
      [
        [
          fe.parse('', 'insert into other values (1)'),
          fe.bind(),
          fe.execute(),
          fe.execute('nothing'),
          fe.sync(),
        ],
        [fe.query('select count(*) from other')],
      ],
    ],
  ])('%s gets the server’s error', async (_, steps) => {
    const { direct, through } = await told([...steps, [fe.query('select 1')]]);
    expect(through).toEqual(direct);
  });

  it('waits for people where a function has opened it', async () => {
    const { client } = under;
    await client.rows(
      "begin; create function pg_temp.opens() returns void language plpgsql as $$ declare c refcursor := 'opened'; begin open c for select 1; end $$",
    );
    client.write(fe.query('select pg_temp.opens()'));
    client.write(fe.execute('opened'), fe.sync());
    const messages = [...(await client.untilReady()), ...(await client.untilReady())];
    expect(errorsOf(messages)).toMatchObject([{ C: expect.stringMatching(/^(HF001|42501)$/) }]);
  });
});
