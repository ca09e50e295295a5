import type { ServerResponse } from 'node:http'
import type { Test } from 'tap'
import { type Received, Receiver } from '../fixtures/receiver.ts'

/** An item of a batch, as the service receives it. */
export interface Item {
  to: string | string[] | { topic: string } | { everyone: true }
  title: string
  idempotencyKey: string
}

/** One request to publish. */
export interface BatchRequest {
  /** From 0. */
  number: number
  items: Item[]
  headers: Received['headers']
  /** Bytes of the body. */
  bytes: number
  at: number
}

/** The answer to a request; undefined: every item is accepted. */
type Script = (request: BatchRequest, response: ServerResponse) => unknown

/** An HTTP server with the REST surface of a batch. It answers no other request. It keeps what was published, once for each key, and answers as the script of a test says. */
export class BatchService {
  readonly requests: BatchRequest[] = []
  /** Titles in the order in which their items were first carried out. */
  readonly published: string[] = []
  /** Answers a request itself, or returns a promise to wait for before the items are carried out. */
  script: Script = () => undefined
  readonly #receiver: Receiver
  readonly #known = new Map<string, number>()

  private constructor(receiver: Receiver) {
    this.#receiver = receiver
    receiver.behaviour = (response, received) => void this.#answer(response, received)
  }

  static async start(t: Test): Promise<BatchService> {
    return new BatchService(await Receiver.start(t))
  }

  get url(): string {
    return this.#receiver.origin
  }

  /** Largest number of requests that were open at one time. */
  get mostOpen(): number {
    return this.#receiver.mostOpen
  }

  get sizes(): number[] {
    return this.requests.map(({ items }) => items.length)
  }

  /** Carries out an item, and returns its result. */
  carryOut(item: Item): object {
    const id = this.#known.get(item.idempotencyKey) ?? this.#known.size + 1
    if (id > this.#known.size) {
      this.#known.set(item.idempotencyKey, id)
      this.published.push(item.title)
    }
    const isAudience = typeof item.to === 'object' && !Array.isArray(item.to)
    const users = isAudience ? [] : [item.to].flat()
    return {
      id: `id-${id}`,
      durability: 'fsync',
      results: users.map((user) => ({ user, status: 'accepted', eventId: `a.${id}.b`, nodes: 0 })),
      ...(isAudience && { broadcast: { id: `job-${id}`, status: 'running' } })
    }
  }

  async #answer(response: ServerResponse, { headers, body, at }: Received): Promise<void> {
    if (body.length === 0) return
    const { notifications: items } = JSON.parse(body.toString()) as { notifications: Item[] }
    const request = { number: this.requests.length, items, headers, bytes: body.length, at }
    this.requests.push(request)
    await this.script(request, response)
    if (response.headersSent || response.destroyed) return
    reply(response, 202, { results: items.map((item) => this.carryOut(item)) })
  }
}

/** Answers with JSON. */
export function reply(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

/** Returns a problem as the service answers it. */
export function problem(status: number, code: string, retryAfterMs?: number): { status: number; code: string } {
  const body = { type: `urn:belfry:error:${code}`, title: 'Error', status, detail: `It is ${code}`, instance: 'x', code }
  return { ...body, ...(retryAfterMs !== undefined && { retryAfterMs }) }
}
