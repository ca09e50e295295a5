import type { Http } from './http.ts'
import type { Broadcast, CallOptions } from './types.ts'

/** The jobs that carry notifications to audiences. */
export class Broadcasts {
  readonly #http: Http

  constructor(http: Http) {
    this.#http = http
  }

  /** Returns the progress of a broadcast. */
  async get(id: string, options?: CallOptions): Promise<Broadcast> {
    return (await this.#http.retry('GET', pathOf(id), options)) as Broadcast
  }

  /** Stops a broadcast, and recalls what it has published. */
  async cancel(id: string, options?: CallOptions): Promise<void> {
    await this.#http.retry('DELETE', pathOf(id), options)
  }
}

function pathOf(id: string): string {
  return `/v1/broadcasts/${encodeURIComponent(id)}`
}
