import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TEMPLATES_VARIABLE } from './run-setup.ts';

/**
 * A data directory that is made once in a run, for servers to be copies of: a copy takes a tenth of initdb's time. Null
 * outside of such a run. Those who come at the same time make one each, and all use the first that is complete.
 */
export async function templateOf(
  name: string,
  initialize: (target: string) => Promise<void>,
): Promise<string | null> {
  const folder = process.env[TEMPLATES_VARIABLE];
  if (folder === undefined) return null;
  const template = join(folder, name);
  if (existsSync(template)) return template;
  const made = `${template}.${process.pid}`;
  await initialize(made);
  await rename(made, template).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    await rm(made, { recursive: true });
  });
  return template;
}
