import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { holdfast } from '../cli/support.ts';
import { temporaryFolder } from '../store/temporary-folder.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeAll(async () => {
  folder = await temporaryFolder();
  writeFileSync(join(folder.path, 'capture.zsh'), CAPTURE);
  for (const [shell, name] of [
    ['zsh', '_holdfast'],
    ['fish', 'holdfast.fish'],
  ] as const)
    writeFileSync(join(folder.path, name), (await holdfast(['completion', shell])).out);
});
afterAll(() => folder.remove());

/**
 * A zsh in a terminal of its own, which has the function in its path as one that somebody has installed it. Behind the
 * words comes a Tab, then a key that says what the line has become.
 */
const CAPTURE = `
zmodload zsh/zpty
zpty z zsh -f -i
await() { local line; while zpty -r z line; do [[ $line == *"$1"* && $line != *print* ]] && break; done }
zpty -w z "PS1=; unsetopt zle_bracketed_paste prompt_sp; stty columns 200 rows 100; print A-\${:-READY}"
await A-READY
zpty -w z "fpath=($1 \\$fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=0; bindkey '^I' complete-word"
zpty -w z 'tell() { print -r -- "<<$BUFFER>>"; BUFFER=; zle .accept-line }; zle -N tell; bindkey "^X" tell; print B-\${:-READY}'
await B-READY
zpty -w -n z "$2"$'\\t\\x18'
while zpty -r z line; do print -rn -- $line; [[ $line == *'>>'* ]] && break; done
zpty -d z
`;

const run = (program: string, args: readonly string[]): string =>
  execFileSync(program, args, {
    cwd: folder.path,
    encoding: 'utf8',
    timeout: 20_000,
    env: { ...process.env, HOME: folder.path, TERM: 'xterm' },
  });

/** What zsh lists, and what the line has become. */
function zsh(words: string): { readonly listed: string; readonly line: string } {
  const said = run('zsh', ['-f', 'capture.zsh', folder.path, words]);
  return { listed: said, line: /<<(.*)>>/.exec(said)?.[1] ?? said };
}

/** What fish offers. */
const fish = (words: string): string[] =>
  run('fish', ['--no-config', '-c', `source holdfast.fish; complete -C '${words}'`])
    .trim()
    .split('\n')
    .map((line) => line.split('\t')[0]!);

describe('completion in the shells themselves', () => {
  it('of zsh finishes commands, those below them, options and choices', () => {
    expect(zsh('holdfast appr').line).toBe('holdfast approvals ');
    expect(zsh('holdfast quarantine add --application token --re').line).toBe(
      'holdfast quarantine add --application token --reason ',
    );
    expect(zsh('holdfast completion f').line).toBe('holdfast completion fish ');
    const { listed } = zsh('holdfast approvals ');
    for (const word of ['approve', 'break-glass', 'deny', 'list', 'show']) expect(listed).toContain(word);
    expect(listed).toContain('let a held statement run in an emergency, alone');
  });

  it('of fish does, too', () => {
    expect(fish('holdfast appr')).toEqual(['approvals']);
    expect(fish('holdfast approvals ').sort()).toEqual(['approve', 'break-glass', 'deny', 'list', 'show']);
    expect(fish('holdfast approvals approve apr_1 --com')).toEqual(['--comment']);
    expect(fish('holdfast completion z')).toEqual(['zsh']);
  });
});
