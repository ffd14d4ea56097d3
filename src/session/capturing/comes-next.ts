import { encodeMessage } from '../../wire/backend.ts';
import { lengthAt } from '../../wire/frame.ts';
import { Frontend, HEADER_BYTES } from '../../wire/message-type.ts';

/** A message that has come and waits; no body where that has not come whole, or not in one piece. */
interface Waiting {
  readonly type: number;
  readonly body: Buffer | null;
}

/** What has come, the message that is waited with first of all. */
function* messagesIn(putBy: readonly Buffer[]): Generator<Waiting> {
  let skipped = 0;
  for (const bytes of putBy) {
    let at = skipped;
    while (at + HEADER_BYTES <= bytes.length) {
      const end = at + lengthAt(bytes, at) + 1;
      if (end < at + HEADER_BYTES) return;
      const body = end <= bytes.length ? bytes.subarray(at + HEADER_BYTES, end) : null;
      yield { type: bytes[at]!, body };
      at = end;
    }
    // A header in two pieces.
    if (at < bytes.length) return;
    skipped = at - bytes.length;
  }
}

const nameOf = (body: Buffer, at = 0): string => body.latin1Slice(at, body.indexOf(0, at));

/** Whether the client has sent all that runs the portal of the Bind that waits, and nothing between. */
export function runsAtOnce(putBy: readonly Buffer[]): boolean {
  let portal: string | null = null;
  let described = false;
  for (const { type, body } of messagesIn(putBy)) {
    if (body === null) return false;
    if (portal === null) {
      if (type !== Frontend.Bind) return false;
      portal = nameOf(body);
    } else if (type === Frontend.Execute) return nameOf(body) === portal;
    else if (type === Frontend.Describe && !described && body[0] === PORTAL && nameOf(body, 1) === portal)
      described = true;
    else return false;
  }
  return false;
}

/** What stands in front of an Execute: the Bind that waits, and the types of what is behind that. */
export interface AheadOfExecute {
  readonly bytes: Buffer;
  readonly behind: readonly number[];
}

/** Null where the client has not sent all that runs the portal of the Bind that waits, or something between. */
export function aheadOfExecute(putBy: readonly Buffer[]): AheadOfExecute | null {
  if (!runsAtOnce(putBy)) return null;
  const messages: Buffer[] = [];
  const types: number[] = [];
  for (const { type, body } of messagesIn(putBy)) {
    if (type === Frontend.Execute || body === null) break;
    messages.push(encodeMessage(type, body));
    types.push(type);
  }
  return { bytes: Buffer.concat(messages), behind: types.slice(1) };
}

/** Whether a Sync stands right behind the Execute that waits, which asks for all rows. */
export function syncsAtOnce(putBy: readonly Buffer[]): boolean {
  let asksForAll = false;
  for (const { type, body } of messagesIn(putBy)) {
    if (body === null) return false;
    if (asksForAll) return type === Frontend.Sync && body.length === 0;
    if (type !== Frontend.Execute || body.length < 5) return false;
    asksForAll = body.readInt32BE(body.length - 4) === 0;
    if (!asksForAll) return false;
  }
  return false;
}

/**
 * The types of the messages from the Bind that waits up to a Sync, where they do no more than describe its portal and run all
 * of it; null where they do anything else, or have not come.
 */
export function runsAloneUpToSync(putBy: readonly Buffer[]): readonly number[] | null {
  if (!runsAtOnce(putBy)) return null;
  const ahead: number[] = [];
  let asksForAll = false;
  for (const { type, body } of messagesIn(putBy)) {
    if (body === null) return null;
    if (asksForAll) return type === Frontend.Sync && body.length === 0 ? ahead : null;
    ahead.push(type);
    if (type !== Frontend.Execute) continue;
    asksForAll = body.length >= 5 && body.readInt32BE(body.length - 4) === 0;
    if (!asksForAll) return null;
  }
  return null;
}

const PORTAL = 0x50;
