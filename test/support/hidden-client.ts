import {
  type HiddenConnection,
  type HiddenQuery,
  HiddenQueryError,
  type HiddenResult,
  type RowTaker,
} from '../../src/snapshot/connection.ts';
import * as fe from './frontend-messages.ts';
import { fieldsOf, type RawClient } from './raw-client.ts';

const DEADLINE_MS = 60_000;
const NAME = 'holdfast hidden';

/** Hidden queries over a plain connection: what the gateway will do in a session of its own. */
export class HiddenClient implements HiddenConnection {
  readonly client: RawClient;
  /** How many queries were run. */
  runs = 0;
  /** How often one was sent while none was under way. */
  roundTrips = 0;
  readonly overlaps: boolean;
  #waiting = 0;
  #sent = 0;
  #discarded = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(client: RawClient, overlaps = false) {
    this.client = client;
    this.overlaps = overlaps;
  }

  run(
    query: HiddenQuery,
    onRow: RowTaker,
    onNotice: (notice: Buffer) => void = () => {},
  ): Promise<HiddenResult> {
    this.runs++;
    const serial = ++this.#sent;
    // What is asked while nothing is awaited goes out at once, and the answers come in turn.
    if (this.#waiting === 0) this.roundTrips++;
    this.#waiting++;
    this.client.write(
      fe.parse(NAME, query.sql, query.parameterTypes),
      bind(query),
      fe.execute(NAME),
      fe.close('S', NAME),
      fe.close('P', NAME),
      fe.flush(),
    );
    const answer = this.#last
      .then(() => this.#answer(serial, onRow, onNotice))
      .finally(() => this.#waiting--);
    this.#last = answer.catch(() => {});
    return answer;
  }

  async #answer(serial: number, onRow: RowTaker, onNotice: (notice: Buffer) => void): Promise<HiddenResult> {
    if (serial <= this.#discarded) throw new Error('the server discarded it behind an error');
    let tag = '';
    for (let closed = 0; closed < 2; ) {
      const message = await this.client.next(DEADLINE_MS);
      if (message === null) throw new Error('the connection ended');
      if (message.type === 'E') {
        // What follows an error is discarded up to a Sync, a Query included.
        this.#discarded = this.#sent;
        this.client.write(fe.sync(), fe.close('P', NAME), fe.close('S', NAME), fe.sync());
        await this.client.untilReady(DEADLINE_MS);
        await this.client.untilReady(DEADLINE_MS);
        throw new HiddenQueryError(fieldsOf(message));
      } else if (message.type === 'N') onNotice(message.body);
      else if (message.type === 'D') await this.#row(message.body, onRow);
      else if (message.type === 'C') tag = message.body.toString('utf8', 0, message.body.length - 1);
      else if (message.type === '3') closed++;
    }
    return { tag };
  }

  /** As the session does it: those that can be taken in runs stand among other bytes. */
  async #row(body: Buffer, onRow: RowTaker): Promise<void> {
    const around = this.runs % 5;
    const row = Buffer.concat([Buffer.alloc(around, 1), fe.message('D', body), Buffer.alloc(around, 2)]);
    const end = row.length - around;
    const stopped = onRow.many?.(row, around, end) ?? around;
    if (stopped === around) await onRow(body);
    else if (stopped !== end) throw new Error(`a row was taken up to ${stopped} of ${end}`);
  }
}

function bind(query: HiddenQuery): Buffer {
  const values = query.parameters.flatMap((value) =>
    value === null ? [fe.int32(-1)] : [fe.int32(value.length), value],
  );
  return fe.message(
    'B',
    fe.cstring(NAME),
    fe.cstring(NAME),
    fe.int16(query.parameterFormats.length),
    ...query.parameterFormats.map(fe.int16),
    fe.int16(query.parameters.length),
    ...values,
    fe.int16(query.resultFormats.length),
    ...query.resultFormats.map(fe.int16),
  );
}
