import type { HoldOutcome } from '../approval/approval.ts';
import type { Hold } from '../policy/decision.ts';
import type { Analysis, TextFacts } from '../sql/effects.ts';
import type { ErrorFields } from '../wire/backend.ts';
import type { Captured, Planned } from './capturing/snapshot-desk.ts';

/** What was waited for: the analysis of a large text, or the end of a hold. */
export interface Answer {
  readonly analysis: Analysis | null;
  /** How the text was read. */
  readonly facts?: TextFacts;
  readonly outcome:
    | null
    | {
        readonly kind: 'held';
        readonly approvalId: string | null;
        readonly holdMs: number;
        readonly end: HoldOutcome;
        /** What was to be approved. */
        readonly approved: Hold;
      }
    | { readonly kind: 'fault'; readonly error: unknown }
    /** The client has cancelled it while the server was asked about it, or its transaction has failed by that. */
    | { readonly kind: 'ended'; readonly error: ErrorFields }
    /** The statement's rows have been captured, or it goes on without, or it is refused. */
    | { readonly kind: 'capture'; readonly captured: Captured }
    /** What a portal is to run has a plan for its capture, or is to go on without, or is refused. */
    | { readonly kind: 'planned'; readonly planned: Planned }
    /** The records of what a Sync commits are durable, or cannot be made so. */
    | { readonly kind: 'recorded'; readonly recorded: boolean };
}

/** What becomes of a message: null forwards it as it is. */
export type Verdict =
  | null
  | { readonly kind: 'replace'; readonly bytes: Buffer }
  /** The server breaks off at the message's header, in its own words. */
  | { readonly kind: 'break' }
  /** The message goes on as it is, then `behind`, and nothing behind it is looked at before that. */
  | {
      readonly kind: 'gate';
      readonly until: Promise<void>;
      readonly behind: Buffer | null;
      /** Called when the message has been sent. */
      readonly sent: () => void;
    }
  /** A Bind that is there in part has to be there whole to be decided. */
  | { readonly kind: 'whole' }
  /** `ahead` are bytes of ours that are sent to the server before the wait. */
  | { readonly kind: 'wait'; readonly until: Promise<Answer>; readonly ahead?: Buffer | null };

/** What becomes of a reply: forwarded as it is, kept from the client, or something else in its place. */
export type ReplyVerdict = 'forward' | 'skip' | Buffer;
