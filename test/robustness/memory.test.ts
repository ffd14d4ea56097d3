import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as fe from '../support/frontend-messages.ts';
import { startGateway, type TestGateway } from '../support/gateway.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { peakResidentBytes } from '../support/process-facts.ts';
import { RawClient } from '../support/raw-client.ts';

const MIB = 1024 * 1024;
/** Leaves room for the sessions in a container of 512 MiB, the smallest that is often given. */
const PEAK_BYTES_MAX = 400 * MIB;
/** Enough for V8 to optimize what it ever will: it began after a few dozen. */
const STATEMENTS = 2_000;

describe('the memory of the gateway', () => {
  let postgres: TestPostgres;
  let gateway: TestGateway;
  beforeAll(async () => {
    postgres = await startPostgres();
    gateway = await startGateway({ upstreamPort: postgres.port });
  });
  afterAll(async () => {
    await gateway?.stop();
    await postgres?.stop();
  });

  it('has no peak at the first statements, whatever they are', async () => {
    const client = await RawClient.open(gateway.port);
    for (let n = 0; n < STATEMENTS; n += 4) {
      // A name of its own makes each a statement that the cache does not know.
      await client.rows(`create temp table t${n} (a int primary key, b text default 'x' not null)`);
      await client.rows(
        `with r as (insert into t${n} values (1, 'a') returning *) select a, count(*) from r group by 1`,
      );
      client.write(fe.parse('', `update t${n} set b = upper(b) where a in (1, 2) and b like $1`));
      client.write(fe.bind({ parameters: ['a%'] }));
      client.write(fe.execute());
      client.write(fe.sync());
      await client.untilReady();
      await client.rows(`drop table t${n}`);
    }
    // A long text is read in a thread of its own.
    const list = Array.from({ length: 20_000 }, (_, n) => `(${n}, 'the name of ${n}')`).join(', ');
    expect(await client.rows(`select count(*) from (values ${list}) as v (a, b)`)).toEqual([['20000']]);
    await client.terminate();
    // What V8 does on its own begins when the statements are done.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(peakResidentBytes(gateway.pid) / MIB).toBeLessThan(PEAK_BYTES_MAX / MIB);
  });
});
