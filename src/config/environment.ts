import { z } from 'zod';
import type { Problem } from '../policy/problems.ts';
import type { Path } from '../policy/strict-yaml.ts';
import { didYouMean } from '../policy/suggest.ts';

/** A key of the configuration file that stands for a value, and the variable that stands for the key. */
export interface Variable {
  readonly name: string;
  readonly path: readonly string[];
  readonly integer: boolean;
}

export interface FromEnvironment {
  readonly values: readonly { readonly variable: Variable; readonly value: string | number }[];
  readonly problems: readonly Problem[];
}

const PREFIX = 'HOLDFAST_';

/** Variables that the command line reads, which are no keys of the file. */
const CLI_VARIABLES = ['HOLDFAST_CONFIG', 'HOLDFAST_ADMIN_URL', 'HOLDFAST_TOKEN'] as const;

/** Every leaf of the schema as a variable: `admin.listen` is HOLDFAST_ADMIN_LISTEN. */
export function variablesOf(schema: z.ZodType): readonly Variable[] {
  return leaves(z.toJSONSchema(schema, { io: 'input' }) as SchemaNode, []);
}

/** Reads the variables of the configuration. One that is set to nothing counts as not set. */
export function readEnvironment(
  variables: readonly Variable[],
  env: Readonly<Record<string, string | undefined>>,
): FromEnvironment {
  const byName = new Map(variables.map((variable) => [variable.name, variable]));
  const values: { variable: Variable; value: string | number }[] = [];
  const problems: Problem[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(PREFIX) || text === undefined) continue;
    const variable = byName.get(name);
    if (variable !== undefined) {
      if (text !== '') values.push({ variable, value: variable.integer ? wholeNumber(text) : text });
    } else if (!(CLI_VARIABLES as readonly string[]).includes(name)) {
      const meant = didYouMean(name, [...byName.keys(), ...CLI_VARIABLES]);
      problems.push({ source: name, line: null, column: null, message: `unknown variable${meant}` });
    }
  }
  return { values, problems };
}

/**
 * The file's data with the variables' put over it; the file's own is left as it was. What is no mapping where one has to
 * be stays, for the schema to refuse.
 */
export function overlay(data: unknown, path: Path, value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  const map = data ?? {};
  if (typeof map !== 'object' || Array.isArray(map)) return data;
  const inner = (map as Record<PropertyKey, unknown>)[step];
  return { ...map, [step]: overlay(inner, rest, value) };
}

interface SchemaNode {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
}

function leaves(node: SchemaNode, path: readonly string[]): Variable[] {
  if (node.properties === undefined) {
    return [{ name: PREFIX + path.join('_').toUpperCase(), path, integer: node.type === 'integer' }];
  }
  return Object.entries(node.properties).flatMap(([key, inner]) => leaves(inner, [...path, key]));
}

/** What is no number stays as it is, for the schema to refuse. */
function wholeNumber(text: string): number | string {
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}
