import { AdminClient, type AdminOptions, type Fields, isFields, withAdminOptions } from './admin-client.ts';
import type { AddCommand } from './command.ts';
import { printable } from './printable.ts';
import { toJson } from './table.ts';

export const addPause: AddCommand = (program, io) => {
  withAdminOptions(program.command('pause'))
    .description('refuse everything that is not safe, until it is resumed')
    .requiredOption('--reason <text>', 'told to whoever is refused')
    .action(async (options: AdminOptions & { reason: string }) => {
      const answer = await new AdminClient(options, io).post('/v1/pause', { reason: options.reason });
      io.out(options.json === true ? toJson(answer) : pauseText(answer));
    });
  withAdminOptions(program.command('resume'))
    .description('end a pause')
    .option('--comment <text>', 'kept in the audit')
    .action(async (options: AdminOptions & { comment?: string }) => {
      const body: Fields = options.comment === undefined ? {} : { comment: options.comment };
      const answer = await new AdminClient(options, io).post('/v1/resume', body);
      io.out(options.json === true ? toJson(answer) : pauseText(answer));
    });
};

function pauseText({ paused }: Fields): string {
  if (!isFields(paused)) return 'Nothing is paused.\n';
  const { by, since, reason } = paused;
  return `${printable(`Paused by ${by} since ${since}: ${reason}`)}\n`;
}
