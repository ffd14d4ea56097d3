import { z } from 'zod';
import { LIMITS } from '../base/limits.ts';
import { RISKS } from '../sql/effects.ts';
import { parseClientPattern } from './client-pattern.ts';
import { HOLD_MODES, MODES } from './decision.ts';
import { DURATION_HINT, DURATION_PATTERN, formatDuration, parseDurationMs } from './duration.ts';
import { compileGlob, globProblem } from './glob.ts';
import { judged } from './judged.ts';
import { namePatternProblem } from './name-pattern.ts';
import { OPERATIONS } from './operations.ts';
import { ROW_LIMIT_HINT, ROW_LIMIT_PATTERN } from './row-limit.ts';
import { parseRowsTolerance, ROWS_TOLERANCE_HINT } from './rows-tolerance.ts';
import { didYouMean } from './suggest.ts';

/** One thing or a list of alternatives. */
function oneOrMore<T extends z.ZodType>(item: T): z.ZodUnion<[T, z.ZodArray<T>]> {
  return z.union([item, z.array(item).min(1)]);
}

const name = judged(globProblem);
const table = judged((text) => namePatternProblem(text, 'schema.table'));
const column = judged((text) => namePatternProblem(text, 'schema.table.column'));
const functionName = judged((text) => namePatternProblem(text, 'schema.function'));
const client = judged((text) => {
  const parsed = parseClientPattern(text);
  return parsed.ok ? null : parsed.problem;
});
const operation = judged((text) => {
  const problem = globProblem(text);
  if (problem !== null) return problem;
  const glob = compileGlob(text);
  if (OPERATIONS.some((known) => glob.match(known) === 'sure')) return null;
  return `unknown operation "${text}"${didYouMean(text, OPERATIONS)}`;
});

const duration = z
  .string(DURATION_HINT)
  .regex(DURATION_PATTERN, DURATION_HINT)
  .check((context) => {
    const ms = parseDurationMs(context.value);
    if (ms === null || (ms >= LIMITS.holdTimeoutMinMs && ms <= LIMITS.holdTimeoutMaxMs)) return;
    const range = `${formatDuration(LIMITS.holdTimeoutMinMs)} to ${formatDuration(LIMITS.holdTimeoutMaxMs)}`;
    context.issues.push({ code: 'custom', message: `must be from ${range}`, input: context.value });
  });

const sentence = judged((text) => {
  if (text.trim() === '') return 'must say something';
  if (text.length > LIMITS.policyTextChars) return `has at most ${LIMITS.policyTextChars} characters`;
  return /\p{Cc}/u.test(text.trimEnd()) ? 'must be one line without control characters' : null;
});

const ruleName = judged((text) => {
  if (!/^[\p{L}\p{N}][\p{L}\p{N} _./-]{0,99}$/u.test(text) || text.endsWith(' ')) {
    return 'a name has 1 to 100 letters, digits, spaces and _ . / -, and starts with a letter or digit';
  }
  return null;
});

const matchSchema = z
  .strictObject({
    role: oneOrMore(name).describe('Role that the session logged in as.').optional(),
    database: oneOrMore(name).describe('Database that the session is connected to.').optional(),
    application: oneOrMore(name).describe("application_name: the client's word, unauthenticated.").optional(),
    client: oneOrMore(client).describe('Network (CIDR), address, or local.').optional(),
    operation: oneOrMore(operation).describe('SQL commands in lower case, like drop table.').optional(),
    risk: oneOrMore(z.enum(RISKS)).describe('What the analysis of the statement says.').optional(),
    table: oneOrMore(table).describe('schema.table; without a schema, the table in any schema.').optional(),
    column: oneOrMore(column)
      .describe('schema.table.column, with as many parts as are to be told.')
      .optional(),
    function: oneOrMore(functionName).describe('Functions that the statement calls.').optional(),
    rows: z
      .string()
      .regex(ROW_LIMIT_PATTERN, ROW_LIMIT_HINT)
      .describe('Rows written, like ">100".')
      .optional(),
    context: z
      .record(
        judged((key) => (key.trim() === '' ? 'a context key must have a name' : null)),
        oneOrMore(name),
      )
      .describe("Pairs of the statement's context comment: the client's word, unauthenticated.")
      .optional(),
  })
  .describe('All keys must hold; a list holds where any of its entries does. No keys: every statement.');

const group = judged((text) =>
  /^[^\p{Cc}]{1,100}$/u.test(text) && text === text.trim() ? null : 'expected the name of a group',
);

const rowsTolerance = z.union([z.string(), z.number()]).check((context) => {
  if (parseRowsTolerance(context.value) !== null) return;
  context.issues.push({ code: 'custom', message: ROWS_TOLERANCE_HINT, input: context.value });
});

const holdSchema = z.strictObject({
  mode: z
    .enum(HOLD_MODES)
    .describe('live waits; ticket answers at once with HF001; auto is a ticket inside a transaction.')
    .optional(),
  timeout: duration.describe('After this long without an answer the statement is refused.').optional(),
  approvals: z
    .int()
    .min(1)
    .max(LIMITS.approvalsPerHoldMax)
    .describe('How many people must approve.')
    .optional(),
  approvers: oneOrMore(group).describe('Groups of which each of them must be a member.').optional(),
  grant_for: duration.describe('How long a statement may be run once its ticket was approved.').optional(),
  notice_every: duration.describe('How often a client that waits is told so.').optional(),
  rows_tolerance: rowsTolerance
    .describe('How many rows more or fewer than were approved it may change: a number, or like "10%".')
    .optional(),
});

const withoutPlanSchema = z.enum(['hold', 'block', 'allow']);

const actionSchema = z.enum(['allow', 'snapshot', 'hold', 'block']);

export const ruleSchema = z.strictObject({
  name: ruleName.describe('Shown to clients and in the audit; unique.'),
  match: matchSchema.optional(),
  action: actionSchema,
  hold: holdSchema.describe('Only with action hold.').optional(),
  snapshot: z
    .enum(['required', 'best_effort', 'off'])
    .describe('Only with action snapshot or hold.')
    .optional(),
  without_plan: withoutPlanSchema
    .describe('What happens where a required snapshot has no exact plan.')
    .optional(),
  draft: z.boolean().describe('Decides nothing; the audit records what it would have done.').optional(),
  reason: sentence.describe('Shown to the client and the approver.').optional(),
  hint: sentence.describe('Shown to the client of a blocked statement: what to do instead.').optional(),
});

export const policySchema = z
  .strictObject({
    mode: z
      .enum(MODES)
      .describe('monitor lets everything pass and records what protect would do.')
      .optional(),
    defaults: z
      .strictObject({
        safe: actionSchema.optional(),
        low: actionSchema.optional(),
        high: actionSchema.optional(),
        critical: actionSchema.optional(),
        forbidden: actionSchema.optional(),
      })
      .describe('What happens to a statement that no rule matches, by its risk.')
      .optional(),
    hold: holdSchema.describe('What a hold is where a rule does not say.').optional(),
    without_plan: withoutPlanSchema
      .describe('What happens where a required snapshot has no exact plan and the rule does not say.')
      .optional(),
    mask: z
      .array(column)
      .max(LIMITS.policyRulesMax)
      .describe('Columns whose values the preview of a held statement does not show.')
      .optional(),
    rules: z.array(ruleSchema).max(LIMITS.policyRulesMax).describe('The first match wins.').optional(),
  })
  .meta({ title: 'Holdfast policy' });

export type PolicyInput = z.infer<typeof policySchema>;
export type RuleInput = z.infer<typeof ruleSchema>;
export type HoldInput = z.infer<typeof holdSchema>;
export type MatchInput = z.infer<typeof matchSchema>;
