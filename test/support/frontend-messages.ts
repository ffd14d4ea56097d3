/**
 * Frontend messages written from the protocol's documentation alone, sharing no code with the gateway: what
 * the tests send must not inherit the gateway's mistakes.
 */

/** Text as bytes; a Buffer passes as it is, so that tests can send what is no UTF-8. */
export type Text = string | Buffer;

export function bytesOf(text: Text): Buffer {
  return typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
}

export function int16(value: number): Buffer {
  const out = Buffer.alloc(2);
  out.writeUInt16BE(value & 0xffff);
  return out;
}

export function int32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value >>> 0);
  return out;
}

export function cstring(text: Text): Buffer {
  return Buffer.concat([bytesOf(text), Buffer.of(0)]);
}

/** A typed message with the length that its body has. */
export function message(type: string, ...body: Buffer[]): Buffer {
  const content = Buffer.concat(body);
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(content.length + 4), content]);
}

/** A typed message that claims the given length, whatever its body. */
export function messageClaiming(type: string, length: number, body: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(length), body]);
}

export const PROTOCOL_3_0 = 0x0003_0000;
export const PROTOCOL_3_2 = 0x0003_0002;

export function startup(parameters: Record<string, string>, protocol: number = PROTOCOL_3_0): Buffer {
  const parts: Buffer[] = [int32(protocol)];
  for (const [name, value] of Object.entries(parameters)) parts.push(cstring(name), cstring(value));
  parts.push(Buffer.of(0));
  return startupPacket(Buffer.concat(parts));
}

/** A packet without type byte, as at the start of a connection. */
export function startupPacket(body: Buffer): Buffer {
  return Buffer.concat([int32(body.length + 4), body]);
}

export const sslRequest = (): Buffer => startupPacket(int32(80877103));
export const gssEncryptionRequest = (): Buffer => startupPacket(int32(80877104));
export const cancelRequest = (processId: number, key: Buffer): Buffer =>
  startupPacket(Buffer.concat([int32(80877102), int32(processId), key]));

export const query = (sql: Text): Buffer => message('Q', cstring(sql));

export const parse = (name: Text, sql: Text, parameterTypes: readonly number[] = []): Buffer =>
  message('P', cstring(name), cstring(sql), int16(parameterTypes.length), ...parameterTypes.map(int32));

export interface BindOptions {
  readonly portal?: Text;
  readonly statement?: Text;
  readonly parameterFormats?: readonly number[];
  readonly parameters?: readonly (Text | null)[];
  readonly resultFormats?: readonly number[];
}

export function bind(options: BindOptions = {}): Buffer {
  const { parameterFormats = [], parameters = [], resultFormats = [] } = options;
  const values = parameters.flatMap((value) => {
    if (value === null) return [int32(-1)];
    const bytes = bytesOf(value);
    return [int32(bytes.length), bytes];
  });
  return message(
    'B',
    cstring(options.portal ?? ''),
    cstring(options.statement ?? ''),
    int16(parameterFormats.length),
    ...parameterFormats.map(int16),
    int16(parameters.length),
    ...values,
    int16(resultFormats.length),
    ...resultFormats.map(int16),
  );
}

export const describe = (what: 'S' | 'P', name: Text = ''): Buffer =>
  message('D', Buffer.from(what), cstring(name));
export const execute = (portal: Text = '', rowsMax = 0): Buffer =>
  message('E', cstring(portal), int32(rowsMax));
export const close = (what: 'S' | 'P', name: Text = ''): Buffer =>
  message('C', Buffer.from(what), cstring(name));
export const flush = (): Buffer => message('H');
export const sync = (): Buffer => message('S');
export const terminate = (): Buffer => message('X');
export const copyData = (data: Text): Buffer => message('d', bytesOf(data));
export const copyDone = (): Buffer => message('c');
export const copyFail = (why: Text): Buffer => message('f', cstring(why));
export const password = (text: Text): Buffer => message('p', cstring(text));

export function functionCall(oid: number, parameters: readonly (Text | null)[]): Buffer {
  const values = parameters.flatMap((value) => {
    if (value === null) return [int32(-1)];
    const bytes = bytesOf(value);
    return [int32(bytes.length), bytes];
  });
  return message('F', int32(oid), int16(0), int16(parameters.length), ...values, int16(0));
}
