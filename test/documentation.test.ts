import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');

const PAGES = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`),
]
  .filter((name) => name.endsWith('.md'))
  .map((name) => ({ name, text: readFileSync(join(ROOT, name), 'utf8') }));

const ARCHITECTURE = PAGES.find(({ name }) => name === 'docs/architecture.md')!.text;

const FILES = ['src', 'test', 'scripts'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((path) => `/${folder}/${path}`),
);

/** The anchors of a page, as GitHub makes them of its headings. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...text.matchAll(/^#+ +(.*)$/gm)].map(([, heading]) => heading!);
  return new Set(
    headings.map((one) =>
      one
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .replaceAll(' ', '-'),
    ),
  );
}

describe('the documentation', () => {
  it.each(PAGES)('$name has no link that leads nowhere', ({ name, text }) => {
    const broken = [...text.matchAll(/\]\(([^)]+)\)/g)].flatMap(([, link]) => {
      if (/^https?:/.test(link!)) return [];
      const [path = '', anchor] = link!.split('#');
      const target = path === '' ? name : join(dirname(name), path);
      if (!existsSync(join(ROOT, target))) return [link];
      const known = anchor === undefined || anchorsOf(readFileSync(join(ROOT, target), 'utf8')).has(anchor);
      return known ? [] : [link];
    });
    expect(broken).toEqual([]);
  });

  it('names in docs/architecture.md no file that is not there', () => {
    const named = [...ARCHITECTURE.matchAll(/`([\w./-]+\.(?:tsx?|mjs|json))`/g)].map(([, path]) => path!);
    expect(named.length).toBeGreaterThan(100);
    const isThere = (path: string) =>
      path.includes('/')
        ? FILES.includes(`/src/${path}`) || FILES.includes(`/${path}`)
        : FILES.some((file) => file.endsWith(`/${path}`));
    expect(named.filter((path) => !isThere(path))).toEqual([]);
  });

  it('has files without a folder in docs/architecture.md lie in the folder that was named last', () => {
    const named = ARCHITECTURE.matchAll(/`(src\/)?((?:[\w-]+\/)*)([\w-]+\.tsx?)?`/g);
    let folder = '';
    const astray: string[] = [];
    for (const [, root, path = '', file] of named) {
      if (root !== undefined || path !== '') folder = path;
      if (file === undefined) continue;
      if (!['/src', ''].some((place) => FILES.includes(`${place}/${folder}${file}`)))
        astray.push(folder + file);
    }
    expect(astray).toEqual([]);
  });

  it('names on no page a file of the source that is not there', () => {
    const named = PAGES.flatMap(({ text }) => [
      ...text.matchAll(/`((?:src|test|scripts)\/[\w./-]+\.(?:tsx?|mjs|sh|py))`/g),
    ]).map(([, path]) => path!);
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((path) => !FILES.includes(`/${path}`))).toEqual([]);
  });

  it('has every folder of the source on a floor of docs/architecture.md', () => {
    const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((one) =>
      one.isDirectory(),
    );
    const missing = folders.filter(({ name }) => !ARCHITECTURE.includes(`\`src/${name}/\``));
    expect(missing.map(({ name }) => name)).toEqual([]);
  });
});
