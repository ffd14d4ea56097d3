import { Argument, type Command } from 'commander';
import type { AddCommand } from './command.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** A command, by the words that lead to it, and what may come next. */
interface Place {
  /** `approvals list`, or nothing for the program itself. */
  readonly path: string;
  readonly next: readonly Word[];
}

interface Word {
  readonly word: string;
  readonly about: string;
}

const isOption = ({ word }: Word): boolean => word.startsWith('--');

const INSTALLING = `
To have them in every shell:
  bash  holdfast completion bash > ~/.local/share/bash-completion/completions/holdfast
  zsh   holdfast completion zsh > "\${fpath[1]}/_holdfast"
  fish  holdfast completion fish > ~/.config/fish/completions/holdfast.fish`;

export const addCompletion: AddCommand = (program, io) => {
  program
    .command('completion')
    .description('print what makes a shell complete the words of this command')
    .addArgument(new Argument('<shell>').choices([...SHELLS]))
    .addHelpText('after', INSTALLING)
    .action((shell: Shell) => io.out(SCRIPTS[shell](placesOf(program, ''))));
};

function placesOf(command: Command, path: string): readonly Place[] {
  const commands = command.commands.map((one) => ({ word: one.name(), about: one.description() }));
  const options = command.options.flatMap(({ long, description }) =>
    long == null ? [] : [{ word: long, about: description }],
  );
  const choices = command.registeredArguments
    .flatMap(({ argChoices }) => argChoices ?? [])
    .map((word) => ({ word, about: '' }));
  const here = { path, next: [...commands, ...choices, ...options] };
  return [here, ...command.commands.flatMap((one) => placesOf(one, `${path} ${one.name()}`.trim()))];
}

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const satisfies Record<
  Shell,
  (places: readonly Place[]) => string
>;

/** Words that lead on to another command: what else is typed, such as the value of an option, leads nowhere. */
function steps(places: readonly Place[]): string {
  return places
    .filter(({ path }) => path !== '')
    .map(({ path }) => quoted(path))
    .join('|');
}

function bashScript(places: readonly Place[]): string {
  const cases = places.map(({ path, next }) => {
    const words = next.map(({ word }) => word).join(' ');
    return `    ${quoted(path)}) words=${quoted(words)} ;;`;
  });
  return `# holdfast completion bash
_holdfast() {
  local at="" words="" word longer
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    longer="\${at:+$at }$word"
    case "$longer" in
      ${steps(places)}) at="$longer" ;;
    esac
  done
  case "$at" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _holdfast holdfast
`;
}

function zshScript(places: readonly Place[]): string {
  const described = (words: readonly Word[]) =>
    words.map(({ word, about }) => quoted(`${word.replaceAll(':', '\\:')}:${about}`)).join(' ');
  const cases = places.map(({ path, next }) => {
    const commands = described(next.filter((one) => !isOption(one)));
    const options = described(next.filter(isOption));
    return `    ${quoted(path)}) commands=(${commands}) options=(${options}) ;;`;
  });
  return `#compdef holdfast
# holdfast completion zsh
_holdfast() {
  local at="" word longer found=1
  local -a commands options
  for word in "\${(@)words[2,CURRENT-1]}"; do
    longer="\${at:+$at }$word"
    case "$longer" in
      ${steps(places)}) at="$longer" ;;
    esac
  done
  case "$at" in
${cases.join('\n')}
  esac
  _describe command commands && found=0
  _describe -o option options && found=0
  if (( found && ! $#commands )); then _files && found=0; fi
  return found
}
if [ "\${funcstack[1]}" = _holdfast ]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`;
}

function fishScript(places: readonly Place[]): string {
  const known = places.map(({ path }) => quoted(path)).join(' ');
  const lines = places.flatMap(({ path, next }) =>
    next.map(({ word, about }) => {
      const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-f -a ${quoted(word)}`;
      return `complete -c holdfast -n ${quoted(`__holdfast_is_at ${quoted(path)}`)} ${what} -d ${quoted(about)}`;
    }),
  );
  return `# holdfast completion fish
function __holdfast_is_at
  set -l at ""
  for word in (commandline -opc)[2..-1]
    set -l longer (string trim "$at $word")
    if contains -- $longer ${known}
      set at $longer
    end
  end
  test "$at" = "$argv[1]"
end
${lines.join('\n')}
`;
}

/** For a shell of these three; fish takes a backslash before the quote inside as the others take the end of it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
