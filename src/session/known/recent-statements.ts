import type { Reading } from '../../sql/recent/recent-texts.ts';
import type { SessionState } from '../state.ts';
import { charsOf, type PreparedStatement } from './names.ts';

/** So few that they are looked through. */
const KEPT = 16;
/** What is kept of texts that never come again is little, and of the types of their parameters, which may be very many. */
const CHARS_MAX = 512;

/**
 * The statements that were parsed last. Many clients have the same few texts parsed again and again, and what a Parse comes
 * to is then what it came to before, with all that has been learnt of it since.
 */
export class RecentStatements {
  private readonly kept: PreparedStatement[] = [];
  private next = 0;

  /** The statement that a Parse of now would make, or null. */
  find(state: SessionState, { text, analysis }: Reading, types: string): PreparedStatement | null {
    const { kept } = this;
    for (let i = 0; i < kept.length; i++) {
      const known = kept[i]!;
      if (known.analysis !== analysis || known.text !== text) continue;
      if (known.facts !== state.textFacts || known.epoch !== state.epoch) continue;
      if (known.literalsEpoch === state.literalsEpoch && known.types === types) return known;
    }
    return null;
  }

  keep(statement: PreparedStatement): void {
    // Bytes that the text does not tell would be told apart by nothing; and a secret is kept no longer than it is needed.
    if (statement.exact !== undefined || statement.analysis.redacted !== null) return;
    if (charsOf(statement) > CHARS_MAX) return;
    if (this.kept.length < KEPT) this.kept.push(statement);
    else this.kept[this.next++ % KEPT] = statement;
  }
}
