/** libpg-query ships no types for the module that makes instances. */
declare module 'libpg-query/wasm/libpg-query.js' {
  export default function createModule(options: {
    /** Makes the instance in place of the loader. */
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void): void;
  }): Promise<unknown>;
}

/** What is used of WebAssembly, whose types come with a browser's only. */
declare namespace WebAssembly {
  type Imports = Readonly<Record<string, object>>;
  class Module {
    private constructor();
  }
  class Instance {
    constructor(module: Module, imports: Imports);
  }
  function compile(bytes: Uint8Array): Promise<Module>;
}
