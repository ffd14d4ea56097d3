import { z } from 'zod';
import type { Problem } from './problems.ts';
import type { Path, YamlFile } from './strict-yaml.ts';
import { didYouMean } from './suggest.ts';

type Issue = z.core.$ZodIssue;

/** What a schema finds wrong with a value, in plain words and at its place. */
export interface Finding {
  readonly path: Path;
  /** The fault lies in the key itself, which is the end of the path. */
  readonly atKey: boolean;
  readonly message: string;
}

/** Puts what the schema found wrong into words, one finding for each fault. */
export function explainIssues(schema: z.ZodType, issues: readonly Issue[], value: unknown): Finding[] {
  return issues.flatMap((issue) => explain(schema, issue, issue.path, value));
}

export function toProblem(file: YamlFile, finding: Finding): Problem {
  return finding.atKey
    ? file.problemAtKey(finding.path, finding.message)
    : file.problemAt(finding.path, finding.message);
}

function explain(schema: z.ZodType, issue: Issue, path: Path, value: unknown): Finding[] {
  const found = valueAt(value, path);
  const at = (message: string): Finding[] => [{ path, atKey: false, message }];
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = knownKeys(schema, path);
      return issue.keys.map((key) => ({
        path: [...path, key],
        atKey: true,
        message: `unknown key "${key}"${didYouMean(key, known)}`,
      }));
    }
    case 'invalid_type':
      if (found === undefined) return at(`"${String(path.at(-1) ?? '')}" is missing`);
      // A schema that says itself what it expects says it better.
      if (!issue.message.startsWith('Invalid input')) return at(`${issue.message}; found ${kindOf(found)}`);
      if (issue.expected === 'string')
        return at(`expected a string, found ${kindOf(found)}${quoting(found)}`);
      return at(`expected ${typeName(issue.expected)}, found ${describe(found)}`);
    case 'invalid_value':
      return at(
        `expected ${oneOf(issue.values)}, found ${describe(found)}${
          typeof found === 'string' ? didYouMean(found, issue.values.map(String)) : ''
        }`,
      );
    case 'invalid_union': {
      const branch = bestBranch(issue.errors, found);
      if (branch === undefined) return at(`found ${describe(found)}`);
      return branch.flatMap((inner) => explain(schema, inner, [...path, ...inner.path], value));
    }
    case 'invalid_key':
      return [{ path, atKey: true, message: issue.issues[0]?.message ?? 'not a valid key' }];
    case 'too_small':
      return at(
        issue.origin === 'array'
          ? 'the list is empty'
          : `must be at least ${issue.minimum}, found ${describe(found)}`,
      );
    case 'too_big':
      return at(
        issue.origin === 'array'
          ? `the list has more than ${issue.maximum} entries`
          : `must be at most ${issue.maximum}, found ${describe(found)}`,
      );
    default:
      return at(issue.message);
  }
}

/** Of a value that may be one thing or a list of them, only the branch that fits its shape has anything to say. */
function bestBranch(branches: readonly (readonly Issue[])[], found: unknown): readonly Issue[] | undefined {
  const fits = branches.find((branch) => branch.every((issue) => issue.path.length > 0));
  if (fits !== undefined) return fits;
  return Array.isArray(found) ? branches.at(-1) : branches[0];
}

function valueAt(value: unknown, path: Path): unknown {
  let current = value;
  for (const step of path) {
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Record<PropertyKey, unknown>)[step];
  }
  return current;
}

/** The schema's own keys at the path, read from its JSON Schema so that they are listed nowhere else. */
function knownKeys(schema: z.ZodType, path: Path): string[] {
  let node = z.toJSONSchema(schema, { io: 'input' }) as JsonSchemaNode;
  for (const step of path) {
    const next: JsonSchemaNode | undefined =
      typeof step === 'number' ? node.items : (node.properties?.[String(step)] ?? undefined);
    if (next === undefined) return [];
    node = next;
  }
  return Object.keys(node.properties ?? {});
}

interface JsonSchemaNode {
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>;
  readonly items?: JsonSchemaNode;
}

function typeName(expected: string): string {
  if (expected === 'object' || expected === 'record') return 'a mapping';
  if (expected === 'array') return 'a list';
  if (expected === 'int' || expected === 'number') return 'a whole number';
  if (expected === 'boolean') return 'true or false';
  return `a ${expected}`;
}

function quoting(found: unknown): string {
  return typeof found === 'number' || typeof found === 'boolean' ? '; put it in quotes' : '';
}

function oneOf(values: readonly unknown[]): string {
  const words = values.map(String);
  return words.length <= 8 ? words.join(' | ') : 'a known name';
}

function describe(found: unknown): string {
  if (typeof found === 'string') return found.length <= 40 ? `"${found}"` : 'a long string';
  return typeof found === 'number' || typeof found === 'boolean' ? String(found) : kindOf(found);
}

/** Where a string belongs, the value may be a secret that lacks its quotes, and is not repeated. */
function kindOf(found: unknown): string {
  if (found === null || found === undefined) return 'nothing';
  if (Array.isArray(found)) return 'a list';
  return typeof found === 'object' ? 'a mapping' : `a ${typeof found}`;
}
