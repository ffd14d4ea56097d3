import { AdminClient, type AdminOptions, fieldText, withAdminOptions } from './admin-client.ts';
import type { AddCommand } from './command.ts';
import { toJson } from './table.ts';

export const addPolicy: AddCommand = (program, io) => {
  const policy = program.command('policy').description('the policy of a running gateway');
  withAdminOptions(policy.command('reload'))
    .description('read the policy file again; one that does not load changes nothing')
    .action(async (options: AdminOptions) => {
      const answer = await new AdminClient(options, io).post('/v1/policy/reload', {});
      const revision = fieldText(answer, 'revision');
      io.out(options.json === true ? toJson(answer) : `The policy is in force, revision ${revision}.\n`);
    });
};
