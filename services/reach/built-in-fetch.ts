/** The key under which undici and the built-in `fetch` keep the dispatcher of calls that name none. */
const DISPATCHER = Symbol.for('undici.globalDispatcher.1')

// Loads the built-in `fetch`, which then has a dispatcher.
void globalThis.Headers

const dispatcher: unknown = Reflect.get(globalThis, DISPATCHER)

/**
 * Gives the built-in `fetch` its own dispatcher back, which the import of undici replaces. This module must be imported before undici. undici 7, the
 * last version for Node 20, throws an error that nobody can catch if a host closes a connection whose answer is not read
 * (nodejs/undici issue 5360).
 */
export function restoreFetch(): void {
  Reflect.set(globalThis, DISPATCHER, dispatcher)
}
