import type { Analysis } from '../sql/effects.ts';
import type { Reading } from '../sql/recent/recent-texts.ts';
import { isParseTailValid, stringEnd } from '../wire/frontend.ts';
import { Frontend } from '../wire/message-type.ts';
import { besideBound } from './capturing/bound-beside.ts';
import { parsesUnseenCode, refusedAtParse } from './code/parsed-code.ts';
import { countAlike, countDecision, startOfAlike } from './decision-time.ts';
import type { ApprovedPortals } from './holding/approved-portals.ts';
import type { HoldDesk } from './holding/hold.ts';
import { exactUnlessRead } from './holding/sent.ts';
import { messageKey } from './known/message-key.ts';
import type { PreparedStatement } from './known/names.ts';
import { RecentStatements } from './known/recent-statements.ts';
import { ReplyKind } from './replies.ts';
import { refuse } from './ruling/poison.ts';
import { tooManyNamesError, unreadableNameError } from './ruling/refusal.ts';
import type { SessionState } from './state.ts';
import type { Answer, Verdict } from './verdict.ts';
import { waitForAnalysis } from './waits.ts';

/** The NUL of the text, and a count of no types. */
const TYPELESS_TAIL = 3;

/** Most statements declare none. */
function typesAt(bytes: Buffer, start: number, end: number): string {
  return end - start > 2 ? bytes.latin1Slice(start, end) : '';
}

/** What Parse, Describe and Close mean to the session, which run nothing, unless the server runs code as it reads a text. */
export class StatementMessages {
  private readonly state: SessionState;
  private readonly holds: HoldDesk;
  private readonly approved: ApprovedPortals;
  private readonly recent = new RecentStatements();

  constructor(state: SessionState, holds: HoldDesk, approved: ApprovedPortals) {
    this.state = state;
    this.holds = holds;
    this.approved = approved;
  }

  parse(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const { replies, statements, textFacts } = this.state;
    const nameEnd = stringEnd(bytes, start, end);
    const recent = answer === null && nameEnd >= 0 ? this.recentText(bytes, nameEnd + 1, end) : null;
    const textEnd =
      nameEnd < 0 ? -1 : recent !== null ? end - TYPELESS_TAIL : stringEnd(bytes, nameEnd + 1, end);
    if (textEnd < 0 || !isParseTailValid(bytes, textEnd + 1, end)) {
      replies.push(ReplyKind.Parse);
      return null;
    }
    const began = startOfAlike(this.state);
    const reading = recent ?? this.reading(bytes, nameEnd + 1, textEnd, answer);
    if (reading instanceof Promise) return waitForAnalysis(this.state, reading);
    const types = typesAt(bytes, textEnd + 1, end);
    let statement = this.recent.find(this.state, reading, types);
    if (statement === null) countDecision(this.state, began);
    else countAlike(this.state, began);
    const name = messageKey(this.state, bytes, start, nameEnd);
    if (name === null) return refuse(this.state, Frontend.Parse, unreadableNameError());
    const tooMany = statements.fullFor(name, reading.text.length);
    if (tooMany !== null) {
      return refuse(this.state, Frontend.Parse, tooManyNamesError('prepared statements', tooMany));
    }
    if (statement === null) {
      const { analysis, text } = reading;
      const isUnseen = parsesUnseenCode(analysis, text);
      const verdict = isUnseen
        ? (this.beforeCode(Frontend.Parse, answer) ?? refusedAtParse(this.state, this.holds, analysis, text))
        : null;
      if (verdict !== null) return verdict;
      const exact = exactUnlessRead(text, bytes, nameEnd + 1, textEnd);
      const { epoch, literalsEpoch } = this.state;
      const learnt = { plain: null, told: null };
      statement = { text, exact, types, analysis, facts: textFacts, epoch, literalsEpoch, ...learnt };
      if (!isUnseen) this.recent.keep(statement);
    }
    // The tables may be others by now, and with them the types that the server infers.
    statement.told = null;
    const reply = replies.push(ReplyKind.Parse);
    reply.of = 'statement';
    reply.name = name;
    reply.statement = statement;
    statements.ask(name, statement);
    this.state.parsedName = name;
    this.state.parsedIn = this.state.segment;
    return null;
  }

  /** What the server has to read anew runs what its Parse has run. */
  describe(bytes: Buffer, start: number, end: number, answer: Answer | null): Verdict {
    const nameEnd = stringEnd(bytes, start + 1, end);
    if (bytes[start] === 0x53 /* S */ && nameEnd === end - 1) {
      const name = messageKey(this.state, bytes, start + 1, nameEnd);
      const statement = name === null ? null : this.state.statements.peek(name);
      if (statement !== null && parsesUnseenCode(statement.analysis, statement.text)) {
        const verdict = this.beforeCode(Frontend.Describe, answer);
        if (verdict !== null) return verdict;
      }
    }
    this.state.replies.push(ReplyKind.Describe);
    return null;
  }

  /** Nothing that waits for its Execute may be run by code that the server runs as it reads a text. */
  private beforeCode(type: typeof Frontend.Parse | typeof Frontend.Describe, answer: Answer | null): Verdict {
    const beside = this.state.bound === null ? null : besideBound(this.state, type);
    if (beside !== null) return beside;
    return answer === null || answer.outcome === null ? this.approved.beforeCode(type) : null;
  }

  close(bytes: Buffer, start: number, end: number): Verdict {
    const { replies, statements, portals } = this.state;
    const nameEnd = stringEnd(bytes, start + 1, end);
    const name = nameEnd === end - 1 ? messageKey(this.state, bytes, start + 1, nameEnd) : '';
    if (name === null) return refuse(this.state, Frontend.Close, unreadableNameError());
    const reply = replies.push(ReplyKind.Close);
    if (nameEnd !== end - 1) return null;
    if (bytes[start] === 0x53 /* S */) {
      reply.of = 'statement';
      reply.name = name;
      statements.ask(name, null);
    } else if (bytes[start] === 0x50 /* P */) {
      if (this.state.bound?.name === name) this.state.bound = null;
      reply.of = 'portal';
      reply.name = name;
      this.approved.closing(name);
      portals.ask(name, null);
    }
    return null;
  }

  /** The statement that a Parse of that text without types makes of the unnamed one, if it was parsed lately; else null. */
  parsedBefore(bytes: Buffer, start: number, textEnd: number): PreparedStatement | null {
    const { services, textFacts } = this.state;
    const reading = services.analyzer.recentText?.(bytes, start, textEnd, textFacts) ?? null;
    return reading === null ? null : this.recent.find(this.state, reading, '');
  }

  /** That of a text which begins there, if no types are given behind it, so that it is not searched for its end. */
  private recentText(bytes: Buffer, start: number, end: number): Reading | null {
    const textEnd = end - TYPELESS_TAIL;
    if (textEnd < start || (bytes[textEnd]! | bytes[end - 2]! | bytes[end - 1]!) !== 0) return null;
    const { services, textFacts } = this.state;
    return services.analyzer.recentText?.(bytes, start, textEnd, textFacts) ?? null;
  }

  /** A Parse's text comes again byte for byte, as a Query's does not, and so is looked for as it is. */
  private reading(
    bytes: Buffer,
    start: number,
    end: number,
    answer: Answer | null,
  ): Reading | Promise<Analysis> {
    const { services, textFacts } = this.state;
    if (answer === null || answer.analysis === null)
      return services.analyzer.read(bytes, start, end, textFacts);
    return { analysis: answer.analysis, text: bytes.utf8Slice(start, end) };
  }
}
