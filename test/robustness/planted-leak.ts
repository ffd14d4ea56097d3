/** Loaded ahead of a program: it keeps 4 KiB for each connection that the program accepts. */
import { subscribe } from 'node:diagnostics_channel';

const kept: unknown[] = [];
subscribe('net.server.socket', () => {
  kept.push(new Array(512).fill(0));
});
