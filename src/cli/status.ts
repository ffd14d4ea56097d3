import {
  AdminClient,
  type AdminOptions,
  type Fields,
  fieldText,
  isFields,
  withAdminOptions,
} from './admin-client.ts';
import type { AddCommand } from './command.ts';
import { alignRows, countText, spanText, toJson } from './table.ts';

export const addStatus: AddCommand = (program, io) => {
  withAdminOptions(program.command('status'))
    .description('how a running gateway is doing')
    .action(async (options: AdminOptions) => {
      const status = await new AdminClient(options, io).get('/v1/status');
      io.out(options.json === true ? toJson(status) : alignRows(rows(status)));
    });
};

/** What somebody wants to know first stands first; what is wrong is never left out, and what is not is. */
function rows(status: Fields): string[][] {
  const part = (name: string): Fields => {
    const value = status[name];
    return isFields(value) ? value : {};
  };
  const [sessions, statements, policy] = ['sessions', 'statements', 'policy'].map(part);
  const text = (name: string) => fieldText(status, name);
  return [
    ['state', state(status)],
    ...(text('paused') === '' ? [] : [['paused', text('paused')]]),
    ...(Number(text('quarantined')) > 0
      ? [['quarantined', `${text('quarantined')} (holdfast quarantine lists them)`]]
      : []),
    [
      'gateway',
      `Holdfast ${text('version')}, up for ${spanText(Number(text('uptime_s') || Number.NaN) * 1000)}`,
    ],
    [
      'clients',
      `${text('listen')}: ${fieldText(sessions!, 'open')} open, ${fieldText(sessions!, 'total')} in all`,
    ],
    ['server', text('upstream')],
    ['statements', `${fieldText(statements!, 'total')} in all, ${fieldText(statements!, 'held')} held now`],
    ['policy', policyText(policy!)],
    ...(text('tokens_problem') === ''
      ? []
      : [['tokens', `the file is not understood, and what it said before holds: ${text('tokens_problem')}`]]),
    ...(text('snapshots_problem') === '' ? [] : [['snapshots', text('snapshots_problem')]]),
    ['audit', auditText(part('audit'))],
  ];
}

function state(status: Fields): string {
  const problems = fieldText(status, 'problems');
  if (status['ready'] !== true) return `cannot serve clients${problems === '' ? '' : `: ${problems}`}`;
  if (status['draining'] === true) return 'stops: it takes no new clients';
  return fieldText(status, 'paused') === '' ? 'serves clients' : 'serves clients, but only what is safe';
}

function policyText(policy: Fields): string {
  const [mode, rules, revision, file] = ['mode', 'rules', 'revision', 'file'].map((name) =>
    fieldText(policy, name),
  );
  return `mode ${mode}, ${countText(Number(rules), 'rule')}, revision ${revision}, ${file}`;
}

function auditText(audit: Fields): string {
  const [failures, problem, to] = ['failures', 'anchor_problem', 'anchored_to'].map((name) =>
    fieldText(audit, name),
  );
  const anchored =
    problem !== ''
      ? `the newest are not anchored: ${problem}`
      : to === '0'
        ? 'not anchored yet'
        : `signed and anchored up to ${to}`;
  const failed = Number(failures) > 0 ? `, ${countText(Number(failures), 'write')} FAILED` : '';
  return `${countText(Number(fieldText(audit, 'events')), 'event')} since its start, ${anchored}${failed}`;
}
