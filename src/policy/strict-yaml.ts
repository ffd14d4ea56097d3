import {
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
} from 'yaml';
import { LIMITS } from '../base/limits.ts';
import type { Problem } from './problems.ts';

export type Path = readonly PropertyKey[];

/** A YAML file as plain data, which still knows where each value stands. */
export interface YamlFile {
  readonly value: unknown;
  /** What the YAML itself gets wrong. Where `fatal`, the value is not to be looked at. */
  readonly problems: readonly Problem[];
  readonly fatal: boolean;
  /** A problem with the value at the path, or with the nearest thing above it that the file has. */
  problemAt(path: Path, message: string): Problem;
  /** A problem with the key at the end of the path. */
  problemAtKey(path: Path, message: string): Problem;
}

/**
 * Reads the plain part of YAML that settings need. Anchors, aliases, merge keys, tags and directives are
 * refused: they make a file mean something other than what a reviewer reads, or grow without bound.
 */
export function readYaml(text: string, source: string): YamlFile {
  if (Buffer.byteLength(text) > LIMITS.settingsFileBytes) {
    return unreadable(source, `the file is longer than ${LIMITS.settingsFileBytes} bytes`);
  }
  const lines = new LineCounter();
  const place = (offset: number, message: string): Problem => {
    const { line, col } = lines.linePos(offset);
    return { source, line: Math.max(line, 1), column: Math.max(col, 1), message };
  };
  try {
    const documents = parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      version: '1.2',
      schema: 'core',
      strict: true,
      uniqueKeys: true,
    });
    const [first, second] = 'empty' in documents ? [] : documents;
    if (first === undefined) return { ...unreadable(source, ''), problems: [], fatal: false };
    if (second !== undefined) {
      return {
        ...unreadable(source, ''),
        problems: [place(second.range[0], 'only one YAML document is read')],
      };
    }
    return locate(first, place);
  } catch (error) {
    // The parser descends once for each level, and so does the conversion to plain data.
    if (error instanceof RangeError) return unreadable(source, 'the file is nested too deeply');
    throw error;
  }
}

/** One slip in the syntax makes the parser stumble on and on, and aliases breed; the first few tell where. */
const PROBLEMS_SHOWN_MAX = 10;

type Place = (offset: number, message: string) => Problem;

function locate(document: Document.Parsed, place: Place): YamlFile {
  const problems = [
    ...document.errors
      .slice(0, PROBLEMS_SHOWN_MAX)
      .map((error) => place(error.pos[0], plainMessage(error.code, error.message))),
    ...document.warnings
      .filter(({ code }) => code !== 'TAG_RESOLVE_FAILED')
      .map((warning) => place(warning.pos[0], plainMessage(warning.code, warning.message))),
    ...refusedFeatures(document, place),
  ];
  // A repeated key is wrong but leaves the file readable, so that the rest can be checked in the same pass.
  const fatal =
    problems.length > document.errors.length ||
    document.errors.some((error) => error.code !== 'DUPLICATE_KEY');
  const root = document.contents;
  return {
    value: fatal ? undefined : document.toJS({ maxAliasCount: 0 }),
    problems,
    fatal,
    problemAt: (path, message) => place(offsetOf(root, path), message),
    problemAtKey: (path, message) => place(keyOffsetOf(root, path), message),
  };
}

function refusedFeatures(document: Document.Parsed, place: Place): Problem[] {
  const found: Problem[] = [];
  if (document.directives.yaml.explicit === true) found.push(place(0, 'YAML directives are not used here'));
  visit(document, (_, node, path) => {
    if (!isNode(node)) return undefined;
    const offset = node.range?.[0] ?? 0;
    if (found.length >= PROBLEMS_SHOWN_MAX) return visit.BREAK;
    if (path.filter(isCollection).length > LIMITS.settingsDepth) {
      found.push(place(offset, 'nested too deeply'));
      return visit.BREAK;
    }
    if (isAlias(node))
      found.push(place(offset, `aliases are not used here: write the value out (*${node.source})`));
    else if (node.anchor !== undefined) {
      found.push(place(offset, `anchors are not used here (&${node.anchor})`));
    } else if (node.tag !== undefined) found.push(place(offset, `tags are not used here (${node.tag})`));
    if (isMap(node)) {
      for (const { key } of node.items) {
        if (isScalar(key) && typeof key.value === 'string') continue;
        const at = isNode(key) ? (key.range?.[0] ?? offset) : offset;
        found.push(place(at, 'a key must be a plain word; quote it if it looks like a number'));
      }
    }
    return undefined;
  });
  return found;
}

function offsetOf(root: Node | null, path: Path): number {
  let node: unknown = root;
  let offset = root?.range?.[0] ?? 0;
  for (const step of path) {
    node = childOf(node, step);
    if (!isNode(node)) break;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}

function keyOffsetOf(root: Node | null, path: Path): number {
  const parentPath = path.slice(0, -1);
  let parent: unknown = root;
  for (const step of parentPath) parent = childOf(parent, step);
  const last = path.at(-1);
  if (isMap(parent)) {
    for (const { key } of parent.items) {
      if (isScalar(key) && key.value === last) return key.range?.[0] ?? 0;
    }
  }
  return offsetOf(root, parentPath);
}

function childOf(node: unknown, step: PropertyKey): unknown {
  if (isMap(node) && typeof step === 'string') return node.get(step, true);
  if (isSeq(node) && typeof step === 'number') return node.get(step, true);
  return undefined;
}

function plainMessage(code: string, message: string): string {
  if (code === 'DUPLICATE_KEY') return 'this key is already there above';
  if (message.startsWith('Maximum call stack')) return 'nested too deeply';
  return message.replace(/\s+at line \d+, column \d+:?[\s\S]*$/, '');
}

function unreadable(source: string, message: string): YamlFile {
  const problem = (text: string): Problem => ({ source, line: 1, column: 1, message: text });
  return {
    value: undefined,
    problems: [problem(message)],
    fatal: true,
    problemAt: (_, text) => problem(text),
    problemAtKey: (_, text) => problem(text),
  };
}
