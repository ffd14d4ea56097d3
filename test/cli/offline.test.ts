import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { packageVersion } from '../../src/package-version.ts';
import { holdfast } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const NIGHTLY = file(
  'nightly.yaml',
  'rules: [{ name: nightly, match: { role: [etl], application: [nightly], table: ["staging.*"] }, action: allow }]\n',
);

describe('the command line', () => {
  it('shows what there is, and the exit codes', async () => {
    const { code, out } = await holdfast(['--help']);
    expect(code).toBe(0);
    for (const word of [
      'serve',
      'check',
      'explain',
      'approvals',
      'audit',
      'policy',
      'status',
      'Exit codes: 0 done',
    ]) {
      expect(out).toContain(word);
    }
  });

  it('says which it is', async () => {
    expect(await holdfast(['--version'])).toMatchObject({ code: 0, out: `${packageVersion()}\n`, err: '' });
  });

  it.each([
    [['srve'], "unknown command 'srve'"],
    [['explain'], "missing required argument 'sql'"],
    [['explain', 'select 1', '--rol', 'x'], "unknown option '--rol'"],
    [['explain', 'select 1', '--client', '300.1.1.1'], 'It is an IP address, or local.'],
    [['--log-level', 'loud', 'check'], 'Allowed choices are'],
    [['audit', 'tail', '--lines', 'x'], 'takes a number from 1 to 999'],
  ])('%j is a fault of usage', async (args, message) => {
    const { code, err } = await holdfast(args);
    expect(code).toBe(2);
    expect(err).toContain(message);
  });
});

describe('check', () => {
  it('says what is loaded', async () => {
    const { code, out } = await holdfast([
      'check',
      '--policy',
      NIGHTLY,
      '--tokens',
      'config/tokens.example.yaml',
    ]);
    expect(code).toBe(0);
    expect(out).toMatch(/^clients +127\.0\.0\.1:6432, TLS disable$/m);
    expect(out).toMatch(/^policy +.*nightly\.yaml: mode protect, 1 rule, revision [0-9a-f]{12}$/m);
    expect(out).toMatch(/^tokens +config\/tokens\.example\.yaml: 2 tokens$/m);
  });

  it('names the faults of all files in one run', async () => {
    const config = file('bad.yaml', 'upstream: postgres://app:hunter2@h\nlisten: x\n');
    const policy = file('bad-policy.yaml', 'mode: protektt\n');
    const tokens = file('bad-tokens.yaml', 'tokens: [{ name: a, sha256: hunter2, scopes: ["*"] }]\n');
    const { code, out, err } = await holdfast([
      'check',
      '--config',
      config,
      '--policy',
      policy,
      '--tokens',
      tokens,
    ]);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err.replaceAll(`${folder}/`, '').trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^bad\.yaml:1:11: the upstream takes no user or password/),
      expect.stringMatching(/^bad\.yaml:2:9: expected host:port/),
      expect.stringMatching(/^bad-policy\.yaml:1:7: expected monitor/),
      expect.stringMatching(/^bad-tokens\.yaml:1:29: expected the token's SHA-256/),
    ]);
    expect(err).not.toContain('hunter2');
  });

  it('gives them as JSON too', async () => {
    const { code, out } = await holdfast(['check', '--json', '--policy', join(folder, 'gone.yaml')]);
    expect(code).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ ok: false, problems: [{ message: 'there is no such file' }] });
  });

  it('shows no secret of the configuration', async () => {
    const env = { HOLDFAST_UNDO_CONNECTION: 'postgres://undo:hunter2@h/db' };
    for (const args of [['check'], ['check', '--json']]) {
      expect((await holdfast(args, { env })).out).not.toContain('hunter2');
    }
  });

  it('warns of what does less than it seems to', async () => {
    const policy = file('rows.yaml', 'rules: [{ name: t, match: { role: a, rows: ">9" }, action: allow }]\n');
    expect((await holdfast(['check', '--policy', policy])).out).toMatch(
      /^warning: .*rows\.yaml:1:\d+: how many rows a write changes is known of INSERT … VALUES and of cursors alone/m,
    );
  });
});

describe('explain', () => {
  it('tells the statements, their effects and the decision', async () => {
    const { code, out } = await holdfast(['explain', 'delete from orders; select 1', '--policy', NIGHTLY]);
    expect(code).toBe(0);
    expect(out).toMatch(/^statement 1 +delete from orders$/m);
    expect(out).toMatch(/^ {2}because +delete without WHERE$/m);
    expect(out).toMatch(/^ {2}writes +orders$/m);
    expect(out).toMatch(/^statement 2 +select 1$/m);
    expect(out).toMatch(
      /^decision +hold \(1 approval within 30m, snapshot required; without a plan hold\)$/m,
    );
    expect(out).toMatch(/^rule +default:critical$/m);
  });

  it('tells how it is decided by the number of its rows, where that matters', async () => {
    const policy = file(
      'rows.yaml',
      'rules: [{ name: many, match: { operation: [delete], rows: ">100" }, action: hold }]\n',
    );
    const args = ['explain', 'delete from a where b = 1', '--policy', policy];
    const { out } = await holdfast(args);
    expect(out).toMatch(/^decision +hold /m);
    expect(out).toMatch(/^ {2}0 to 100 +snapshot .* by default:high$/m);
    expect(out).toMatch(/^ {2}more than 100 +hold .* by many$/m);
    const one = await holdfast([...args, '--rows', '1', '--json']);
    expect(JSON.parse(one.out)).toMatchObject({ decision: { action: 'snapshot', rule: 'default:high' } });
    expect(JSON.parse(one.out)).not.toHaveProperty('by_rows');
    const all = await holdfast([...args, '--json']);
    expect(JSON.parse(all.out).by_rows).toMatchObject([
      { least: 0, most: 100, decision: { action: 'snapshot' } },
      { least: 101, most: null, decision: { action: 'hold', rule: 'many' } },
    ]);
  });

  it('decides for the session that is named', async () => {
    const args = [
      'explain',
      'delete from staging.load',
      '--policy',
      NIGHTLY,
      '--role',
      'etl',
      '--application',
      'nightly',
    ];
    const { out } = await holdfast([...args, '--json']);
    expect(JSON.parse(out)).toMatchObject({
      session: { role: 'etl', application: 'nightly' },
      analysis: { risk: 'critical', tables: ['staging.load'] },
      decision: { action: 'allow', rule: 'nightly', would_be: null },
    });
  });

  it('exits with 3 where asked to and the decision is not to allow', async () => {
    expect((await holdfast(['explain', '--exit-code', 'drop table a'])).code).toBe(3);
    expect((await holdfast(['explain', '--exit-code', 'select 1'])).code).toBe(0);
  });

  it('reads the text from standard input', async () => {
    expect((await holdfast(['explain', '-'], { input: 'truncate a' })).out).toContain('truncate');
  });

  it('says where a text is not understood', async () => {
    const { out } = await holdfast(['explain', 'selec 1']);
    expect(out).toMatch(/^unparsable +syntax error/m);
    expect(out).toMatch(/^decision +hold/m);
  });

  it('shows neither passwords nor what would act on the terminal', async () => {
    const role = await holdfast(['explain', "create role a password 'hunter2'"]);
    const hostile = await holdfast(['explain', 'select \'\u001b[31m\u202e\' as "\u0007" from "\u001b]0;x"']);
    expect(
      role.out + (await holdfast(['explain', '--json', "create role a password 'hunter2'"])).out,
    ).not.toContain('hunter2');
    expect(hostile.out).toContain('\\x1b[31m\\u202e');
    expect(hostile.out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
  });

  it('refuses a policy that does not load', async () => {
    const { code, err } = await holdfast(['explain', 'select 1', '--policy', file('p.yaml', 'mode: x\n')]);
    expect(code).toBe(2);
    expect(err).toMatch(/p\.yaml:1:7: expected monitor/);
  });
});
