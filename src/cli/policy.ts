import { AdminClient, type AdminOptions, fieldText, withAdminOptions } from './admin-client.ts';
import type { AddCommand } from './command.ts';
import { addPolicyReplay } from './policy-replay.ts';
import { addPolicyTest } from './policy-test.ts';
import { toJson } from './table.ts';

export const addPolicy: AddCommand = (program, io, finish) => {
  const policy = program
    .command('policy')
    .description('try a policy, and read that of a running gateway again');
  addPolicyTest(policy, io, finish);
  addPolicyReplay(policy, io, finish);
  withAdminOptions(policy.command('reload'))
    .description('read the policy file again; one that does not load changes nothing')
    .action(async (options: AdminOptions) => {
      const answer = await new AdminClient(options, io).post('/v1/policy/reload', {});
      const revision = fieldText(answer, 'revision');
      io.out(options.json === true ? toJson(answer) : `The policy is in force, revision ${revision}.\n`);
    });
};
