import type { HiddenConnection } from '../../catalog/connection.ts';
import { plainQuery } from '../../snapshot/capture.ts';
import { onHidden } from '../../trash/session.ts';
import { decodeErrorFields, encodeMessage, encodeNoticeResponse } from '../../wire/backend.ts';
import { Backend, HEADER_BYTES } from '../../wire/message-type.ts';
import type { SessionState } from '../state.ts';

const SETTING = 'client_encoding';

/**
 * Lets queries of our own write and read UTF-8 on the connection of a client that does not: names and definitions have
 * no other form in a manifest. It is a setting of the transaction, or of the savepoint, that the gateway has opened, and
 * goes back with it; where the client's own transaction goes on, `putBack` gives it its value again. The client hears
 * nothing of that, unless in the end the setting is not what it was.
 *
 * Invariant: `end` is called once nothing of ours is under way, and from then on the client hears of it as ever.
 */
export class OwnEncoding {
  private readonly state: SessionState;
  private readonly connection: HiddenConnection;
  private clients: string | null = null;

  constructor(state: SessionState, connection: HiddenConnection) {
    this.state = state;
    this.connection = connection;
  }

  async begin(): Promise<void> {
    const { state } = this;
    if (state.textFacts.encoding === 'utf8') return;
    const [row] = await onHidden(this.connection).query(`SELECT pg_catalog.current_setting('${SETTING}')`);
    const now = row?.[0] ?? '';
    if (now === 'UTF8') return;
    this.clients = now;
    state.encodingAside = state.parameters.get(SETTING) ?? now;
    await this.set('UTF8');
  }

  /** For what the client does next in its own transaction. */
  async putBack(): Promise<void> {
    if (this.clients !== null) await this.set(this.clients);
  }

  end(): void {
    const { state } = this;
    const told = state.encodingAside;
    state.encodingAside = null;
    if (told === null || told === state.parameters.get(SETTING)) return;
    state.parameterChanged(SETTING, told);
    state.inject(encodeMessage(Backend.ParameterStatus, Buffer.from(`${SETTING}\0${told}\0`, 'latin1')));
  }

  /** What the server has said of the client's statement, in words that the client reads. */
  said(notices: readonly Buffer[]): readonly Buffer[] {
    if (this.clients === null) return notices;
    return notices.map((body) => {
      const fields = decodeErrorFields(body);
      if (fields === null) return body;
      return encodeNoticeResponse(fields, this.state.clientEncoding).subarray(HEADER_BYTES);
    });
  }

  private async set(encoding: string): Promise<void> {
    const value = encoding.replaceAll("'", "''");
    const sql = `SELECT pg_catalog.set_config('${SETTING}', '${value}', true)`;
    await this.connection.run(plainQuery(sql), () => {});
  }
}
