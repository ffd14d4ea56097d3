import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * The floors of the program: a file imports from floors below its own, or from its own folder. Folders of one
 * floor do not import from each other.
 */
const FLOORS: readonly (readonly string[])[] = [
  ['base'],
  ['wire'],
  ['sql'],
  ['policy'],
  ['store', 'blobs', 'catalog'],
  ['snapshot', 'approval', 'audit'],
  ['trash', 'restraint', 'preview', 'notify'],
  ['session', 'undo'],
  ['admin', 'console'],
  ['config', 'embedded'],
  ['cli'],
];

/** Besides pointing down: the parser and the protocol know nothing of each other. */
const APART: readonly (readonly [string, string])[] = [['sql', 'wire']];

/**
 * The types that an upper floor declares for what it needs, which a lower floor fulfils, are a contract and no
 * dependency at run time; each such pair is listed.
 */
const CONTRACTS: readonly (readonly [importer: string, imported: string])[] = [
  ['store', 'approval/approval.ts'],
  ['store', 'audit/event.ts'],
];

/** The floor of files directly in `src`, which put the rest together and so may know all of their own floor. */
const COMPOSITION = FLOORS.findIndex((folders) => folders.includes('config'));

const LINES_MAX = 450;
const SRC = join(import.meta.dirname, '../src');

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder)
    .sort()
    .flatMap((name) => {
      const path = join(folder, name);
      return statSync(path).isDirectory() ? filesBelow(path) : [path];
    });
}

const FILES = filesBelow(SRC)
  .map((path) => relative(SRC, path))
  .filter((path) => /\.tsx?$/.test(path));

/** Static and dynamic imports of our own files, and files that a URL names, such as workers. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), 'utf8');
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?[^;'"]*?from\s+'(\.[^']+)'/gm);
  const others = text.matchAll(/(?:^import\s+|\bimport\(\s*|new URL\(\s*)'(\.[^']+)'/gm);
  const at = (path: string): string => normalize(join(dirname(file), path));
  return [
    ...[...statements].map(([, type, path]) => ({ from: file, to: at(path!), typeOnly: type !== undefined })),
    ...[...others].map(([, path]) => ({ from: file, to: at(path!), typeOnly: false })),
  ].filter(({ to }) => /\.tsx?$/.test(to));
}

const IMPORTS = FILES.flatMap(importsOf);

const folderOf = (path: string): string => path.split('/')[0]!;
const floorOf = (path: string): number =>
  path.includes('/') ? FLOORS.findIndex((folders) => folders.includes(folderOf(path))) : COMPOSITION;

function pointsDown({ from, to, typeOnly }: Import): boolean {
  if (folderOf(from) === folderOf(to)) return true;
  if (APART.some(([a, b]) => folderOf(from) === a && folderOf(to) === b)) return false;
  if (typeOnly && CONTRACTS.some(([importer, imported]) => folderOf(from) === importer && to === imported))
    return true;
  if (!from.includes('/')) return floorOf(to) <= COMPOSITION;
  return floorOf(to) < floorOf(from);
}

/** A cycle of imports that are there at run time, as the files on it, or null. */
function findCycle(): string[] | null {
  const next = Map.groupBy(
    IMPORTS.filter(({ typeOnly }) => !typeOnly),
    ({ from }) => from,
  );
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return null;
    for (const { to } of next.get(file) ?? []) {
      const cycle = visit(to, [...path, file]);
      if (cycle !== null) return cycle;
    }
    done.add(file);
    return null;
  };
  for (const file of FILES) {
    const cycle = visit(file, []);
    if (cycle !== null) return cycle;
  }
  return null;
}

describe('the source', () => {
  it('is read by this test', () => {
    expect(FILES.length).toBeGreaterThan(50);
    expect(IMPORTS.length).toBeGreaterThan(100);
    for (const { from, to } of IMPORTS) expect(FILES, `${from} imports ${to}`).toContain(to);
  });

  it('stands on floors that are known', () => {
    expect(FILES.filter((file) => floorOf(file) < 0)).toEqual([]);
  });

  it('imports downwards only', () => {
    const wrong = IMPORTS.filter((one) => !pointsDown(one));
    expect(wrong.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  it('has a console that knows of the gateway what its API says, and nothing else', () => {
    const outside = IMPORTS.filter(
      ({ from, to }) => folderOf(from) === 'console' && folderOf(to) !== 'console',
    );
    const within = IMPORTS.filter(({ to }) => folderOf(to) === 'console');
    expect(outside.map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
    expect(within.filter(({ from }) => folderOf(from) !== 'console')).toEqual([]);
  });

  it('has no import cycles', () => {
    expect(findCycle()).toBeNull();
  });

  it('has no folder or file that is named after nothing', () => {
    const vague = /(?:^|[/-])(?:utils?|helpers?|common|managers?|misc|shared)(?:[/.-]|$)/;
    expect(FILES.filter((file) => vague.test(file))).toEqual([]);
  });

  it('is named in kebab-case', () => {
    const kebab = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.d)?\.tsx?$/;
    expect(FILES.filter((file) => !kebab.test(file.split('/').at(-1)!))).toEqual([]);
  });

  it(`has no file of more than ${LINES_MAX} lines`, () => {
    const lines = (file: string): number => readFileSync(join(SRC, file), 'utf8').split('\n').length - 1;
    expect(FILES.filter((file) => lines(file) > LINES_MAX).map((file) => `${file}: ${lines(file)}`)).toEqual(
      [],
    );
  });
});
