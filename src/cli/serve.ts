import { loadConfig } from '../config/load.ts';
import { type AddCommand, configFile } from './command.ts';

export const addServe: AddCommand = (program, io, finish) => {
  program
    .command('serve')
    .description('run the gateway; without an upstream, with a PostgreSQL of its own and sample data')
    .option('--config <file>', 'configuration file (or HOLDFAST_CONFIG)')
    .action(async (options: { config?: string }, command) => {
      const { logLevel } = command.optsWithGlobals();
      const env = logLevel === undefined ? io.env : { ...io.env, HOLDFAST_LOG_LEVEL: logLevel };
      const config = loadConfig({ ...configFile(options.config, io), env });
      io.doWithoutOut();
      // The gateway is loaded only here, so that the other commands start at once.
      const { serve } = await import('../serve.ts');
      finish(await serve(config, io));
    });
};
