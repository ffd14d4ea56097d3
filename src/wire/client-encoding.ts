/** A character that the client's encoding does not have, or that we do not know how to write in it. */
const UNWRITABLE = '?'.charCodeAt(0);

/**
 * PostgreSQL's names of encodings of one byte a character, and the names that TextDecoder has for them. Its ISO 8859
 * is that of browsers, which goes its own way below 0xA0. KOI8U is not among them, because browsers read it otherwise.
 */
const ONE_BYTE: Readonly<Record<string, string>> = {
  LATIN2: 'iso-8859-2',
  LATIN3: 'iso-8859-3',
  LATIN4: 'iso-8859-4',
  LATIN5: 'iso-8859-9',
  LATIN6: 'iso-8859-10',
  LATIN7: 'iso-8859-13',
  LATIN8: 'iso-8859-14',
  LATIN9: 'iso-8859-15',
  LATIN10: 'iso-8859-16',
  ISO_8859_5: 'iso-8859-5',
  ISO_8859_6: 'iso-8859-6',
  ISO_8859_7: 'iso-8859-7',
  ISO_8859_8: 'iso-8859-8',
  KOI8R: 'koi8-r',
  WIN866: 'ibm866',
  WIN874: 'windows-874',
  WIN1250: 'windows-1250',
  WIN1251: 'windows-1251',
  WIN1252: 'windows-1252',
  WIN1253: 'windows-1253',
  WIN1254: 'windows-1254',
  WIN1255: 'windows-1255',
  WIN1256: 'windows-1256',
  WIN1257: 'windows-1257',
  WIN1258: 'windows-1258',
};

/**
 * A text of ours in the encoding that a client reads, named as PostgreSQL reports it in `client_encoding`. What
 * cannot be written in it becomes `?`; all that is not ASCII does where the encoding is null, for one that is not
 * known, or has several bytes a character and is not UTF-8.
 */
export function textToBytes(text: string, encoding: string | null): Buffer {
  if (encoding === 'UTF8') return Buffer.from(text, 'utf8');
  const bytes = Buffer.from(text, 'latin1');
  // Of ASCII there is one byte a character in every client encoding, and latin1 writes it.
  if (bytes.length === text.length && isAscii(text)) return bytes;
  const byteOf = encoding === 'LATIN1' ? latin1 : tableOf(encoding);
  return Buffer.from([...text].map((character) => byteOf(character) ?? UNWRITABLE));
}

type ByteOf = (character: string) => number | undefined;

const ascii: ByteOf = (character) => (character < '\x80' ? character.charCodeAt(0) : undefined);
const latin1: ByteOf = (character) => (character < '\u0100' ? character.charCodeAt(0) : undefined);
const tables = new Map<string, ByteOf>();

function tableOf(encoding: string | null): ByteOf {
  const label = encoding !== null && Object.hasOwn(ONE_BYTE, encoding) ? ONE_BYTE[encoding]! : null;
  if (label === null) return ascii;
  let known = tables.get(label);
  if (known === undefined) {
    known = makeTable(label);
    tables.set(label, known);
  }
  return known;
}

function makeTable(label: string): ByteOf {
  const decoder = new TextDecoder(label);
  const byteOf = new Map<string, number>();
  for (let byte = label.startsWith('iso') ? 0xa0 : 0x80; byte <= 0xff; byte++) {
    const character = decoder.decode(Buffer.of(byte));
    if (character >= '\u00a0' && character !== '\ufffd') byteOf.set(character, byte);
  }
  return (character) => ascii(character) ?? byteOf.get(character);
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
