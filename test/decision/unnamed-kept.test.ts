import { beforeEach, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { DEFAULT_POLICY } from '../support/gateway.ts';
import { describeAll, errorsOf, type RawClient } from '../support/raw-client.ts';
import { besideDirect } from './beside-direct.ts';

const SETUP = `
drop table if exists kept;
create table kept (id int primary key, note text);
insert into kept select i, 'row ' || i from generate_series(1, 40) i;
`;

/** A Bind of what is not known is answered as a Describe of it is. */
const WHERE_IN_SERVER = /,"F":"postgres\.c","L":"\d+","R":"\w+"/g;

/**
 * What is asked ahead of each captured row is kept as the unnamed statement of the session, as long as the client has
 * none. The client is told what it would be told without.
 */
describe.each([15, 18] as const)(
  'an unnamed statement that the client has not made, on PostgreSQL %i',
  (version) => {
    const under = besideDirect(DEFAULT_POLICY, version, SETUP);

    const update = (id: number) => [
      fe.bind({ statement: 'one', parameters: ['new', String(id)] }),
      fe.describe('P'),
      fe.execute(),
      fe.sync(),
    ];
    const isThere = [fe.describe('S', ''), fe.sync()];
    const runsIt = [fe.bind({}), fe.execute(), fe.sync()];

    async function told(client: RawClient, messages: readonly Buffer[]): Promise<string[]> {
      client.write(Buffer.concat(messages));
      const syncs = messages.filter((message) => message[0] === 0x53 || message[0] === 0x51).length;
      const out: string[] = [];
      for (let i = 0; i < syncs; i++)
        out.push(describeAll(await client.untilReady()).replaceAll(WHERE_IN_SERVER, ''));
      return out;
    }

    beforeEach(async () => {
      for (const client of [under.direct, under.client]) {
        const made = [
          fe.parse('one', 'update kept set note = $1 where id = $2'),
          fe.parse('begin', 'begin'),
          fe.parse('other', 'select note from kept where id = 1'),
          fe.sync(),
        ];
        client.write(Buffer.concat(made));
        expect(errorsOf(await client.untilReady())).toEqual([]);
        // The first of its kind is planned, and of the second it is asked whose the connection is.
        for (let id = 1; id < 5; id++) await told(client, update(id));
      }
    });

    it.each<readonly [string, readonly (readonly Buffer[])[]]>([
      ['is described as missing', [isThere, update(8), isThere]],
      ['is not bound', [runsIt, update(8), runsIt]],
      ['is closed as what is not there is', [[fe.close('S', ''), fe.sync()], isThere, update(8), isThere]],
      [
        'is missing behind a Query',
        [[fe.query('select 1')], isThere, update(8), [fe.query('begin')], runsIt],
      ],
      [
        'is missing right behind what is captured',
        [
          [...update(8), ...isThere],
          [...update(9), ...runsIt],
        ],
      ],
      [
        'is missing in a transaction',
        [
          [fe.bind({ statement: 'begin' }), fe.execute(), fe.sync()],
          update(8),
          update(9),
          isThere,
          [fe.query('rollback')],
          isThere,
        ],
      ],
      [
        'is missing behind an error, in its segment and the next',
        [
          [fe.bind({ statement: 'one', parameters: ['x', 'no number'] }), ...isThere],
          isThere,
          update(8),
          [fe.bind({ statement: 'unknown' }), fe.describe('S', ''), fe.sync(), ...runsIt],
        ],
      ],
      [
        'is its own once it makes one',
        [
          [fe.parse('', 'select 7'), fe.sync()],
          runsIt,
          update(8),
          runsIt,
          [fe.parse('', 'select 8'), fe.sync(), ...runsIt, ...update(9), ...isThere],
        ],
      ],
      [
        'is none where it fails to make one',
        [[fe.parse('', 'selec 7'), fe.sync()], isThere, update(8), runsIt],
      ],
      [
        'is its own in the segment that makes it',
        [
          [
            fe.parse('', 'select note from kept where id = $1'),
            fe.bind({ parameters: ['8'] }),
            fe.execute(),
            fe.sync(),
          ],
        ],
      ],
      [
        'changes nothing for what has a name',
        [
          [
            fe.bind({ statement: 'other' }),
            fe.describe('P'),
            fe.execute(),
            fe.sync(),
            ...update(8),
            ...update(9),
          ],
          [fe.query('select name, statement from pg_prepared_statements order by name')],
          update(10),
          [fe.query('deallocate all')],
          update(11),
        ],
      ],
    ])('%s', async (_, segments) => {
      const answers = async (client: RawClient) => {
        const out: string[][] = [];
        for (const messages of segments) out.push(await told(client, messages));
        return out;
      };
      expect(await answers(under.client)).toEqual(await answers(under.direct));
    });
  },
);
