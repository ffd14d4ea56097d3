/** libpg-query ships no types for the module that makes instances. */
declare module 'libpg-query/wasm/libpg-query.js' {
  export default function createModule(): Promise<unknown>;
}
