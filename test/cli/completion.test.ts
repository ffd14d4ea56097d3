import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { holdfast } from './support.ts';

const script = (shell: string) => holdfast(['completion', shell]).then(({ out }) => out);

/** What bash offers behind these words, the last of which is begun. */
function offered(bash: string, ...words: readonly string[]): string[] {
  const asked = `${bash}
COMP_WORDS=(holdfast "$@"); COMP_CWORD=$#; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', asked, 'bash', ...words], { encoding: 'utf8' })
    .trim()
    .split('\n');
}

describe('completion', () => {
  it('of bash knows commands, what is below them, and options', async () => {
    const bash = await script('bash');
    expect(offered(bash, 'app')).toEqual(['approvals']);
    expect(offered(bash, 'approvals', '')).toEqual(
      expect.arrayContaining(['list', 'show', 'approve', 'deny']),
    );
    expect(offered(bash, 'approvals', 'approve', 'apr_1', '--com')).toEqual(['--comment']);
    expect(offered(bash, 'quarantine', 'add', '--application', 'token', '--re')).toEqual(['--reason']);
    expect(offered(bash, 'completion', 'z')).toEqual(['zsh']);
    expect(offered(bash, 'nothing', 'sta')).toEqual(['status']);
  });

  it.each(['zsh', 'fish'])('of %s names every command with what it does', async (shell) => {
    const text = await script(shell);
    for (const word of ['approvals', 'quarantine', 'token', 'completion']) expect(text).toContain(word);
    expect(text).toContain('refuse everything that is not safe, until it is resumed');
    // Nothing of a description ends a quotation.
    expect(text.replaceAll(`'\\''`, '').split("'").length % 2).toBe(1);
  });

  it('is of no other shell', async () => {
    expect((await holdfast(['completion', 'csh'])).code).toBe(2);
  });
});
