import {
  AdminClient,
  type AdminOptions,
  type Fields,
  fieldText,
  isFields,
  withAdminOptions,
} from './admin-client.ts';
import type { AddCommand } from './command.ts';
import { alignRows, toJson } from './table.ts';

export const addStatus: AddCommand = (program, io) => {
  withAdminOptions(program.command('status'))
    .description('how a running gateway is doing')
    .action(async (options: AdminOptions) => {
      const status = await new AdminClient(options, io).get('/v1/status');
      io.out(options.json === true ? toJson(status) : alignRows(rows(status, '')));
    });
};

function rows(fields: Fields, prefix: string): string[][] {
  return Object.entries(fields).flatMap(([name, value]) =>
    isFields(value) ? rows(value, `${prefix}${name}.`) : [[`${prefix}${name}`, fieldText(fields, name)]],
  );
}
