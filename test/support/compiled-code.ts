import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Node writes what it has compiled to NODE_COMPILE_CACHE when a process ends by itself, and tests kill their gateways.
 * So the first of a run is asked to stop; all that start after it take half the CPU for it.
 */
export function compiledCodeIsKept(): boolean {
  const folder = process.env['NODE_COMPILE_CACHE'];
  return folder === undefined || existsSync(mark(folder));
}

export function compiledCodeWasKept(): void {
  writeFileSync(mark(process.env['NODE_COMPILE_CACHE']!), '');
}

const mark = (folder: string): string => join(folder, 'of-a-gateway');
