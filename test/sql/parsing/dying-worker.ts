/** A parse worker that dies of what it is sent. */
import { parentPort } from 'node:worker_threads';

parentPort?.on('message', () => {
  throw new Error('killed by a text');
});
