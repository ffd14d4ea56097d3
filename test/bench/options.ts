import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type ParseArgsConfig, parseArgs } from 'node:util';

/**
 * The options of a benchmark. With `--help` it prints the comment at the head of the benchmark's own file, which says what
 * it takes, and with options that are wrong that as well; either ends the process.
 */
export function parsed<const T extends ParseArgsConfig>(url: string, config: T) {
  const help = process.argv.includes('--help');
  try {
    if (!help) return parseArgs(config);
    console.log(usageOf(url));
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${usageOf(url)}`);
  }
  process.exit(help ? 0 : 2);
}

function usageOf(url: string): string {
  const [comment = ''] = /^\/\*\*[\s\S]*?\*\//.exec(readFileSync(fileURLToPath(url), 'utf8')) ?? [];
  const lines = comment.split('\n').map((line) => line.replace(/^ ?\/?\*+[ /]?/, ''));
  return lines.join('\n').trim().replaceAll('`', '');
}
