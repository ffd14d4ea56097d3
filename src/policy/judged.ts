import { z } from 'zod';

/** What a text means, or what is wrong with it. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string };

export function wrong(problem: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem };
}

/** A string that a function of ours judges; what that says is the error. */
export function judged(problemOf: (text: string) => string | null): z.ZodString {
  return z.string().check((context) => {
    const message = problemOf(context.value);
    if (message !== null) context.issues.push({ code: 'custom', message, input: context.value });
  });
}

/** A string that a function of ours reads as something better. */
export function parsedBy<T>(parse: (text: string) => Parsed<T>, expected?: string): z.ZodType<T, string> {
  return z.string(expected).transform((text, context) => {
    const parsed = parse(text);
    if (parsed.ok) return parsed.value;
    context.issues.push({ code: 'custom', message: parsed.problem, input: text });
    return z.NEVER;
  });
}
