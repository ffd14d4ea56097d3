/** Loaded ahead of the gateway: a fault that nobody catches, when a test wants it. */
process.on('SIGUSR2', () => {
  throw new Error('a fault that a test has made');
});
