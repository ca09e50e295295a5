import { createECDH, type ECDH, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { decrypt } from 'http_ece'
import type { ReceivedCall } from './journal.ts'

/** A fault of the receiver: it answers nothing, or 500. Each call meets that at most once, so that its retries end within the run. */
export type Illness = 'none' | 'hanging' | 'failing'

/** The key pair and the secret of a subscribed browser. */
interface Browser {
  user: string
  key: ECDH
  auth: string
}

/** The JSON of a push subscription. */
export interface SubscriptionJson {
  endpoint: string
  expirationTime: null
  keys: { p256dh: string; auth: string }
}

/** The receiver of all calls of a run, a push service and a webhook in one. It keeps its port when it is killed and starts again. */
export class CallReceiver {
  readonly calls: ReceivedCall[] = []
  illness: Illness = 'none'
  readonly #browsers = new Map<string, Browser>()
  /** Paths of subscriptions that have ended: pushes to them are answered with 410. */
  readonly #ended = new Set<string>()
  readonly #hasFailed = new Set<string>()
  #server: Server
  #port = 0

  private constructor() {
    this.#server = this.#makeServer()
  }

  static async start(): Promise<CallReceiver> {
    const receiver = new CallReceiver()
    await receiver.#listen()
    return receiver
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  /** Ends every connection and refuses new ones for a time. */
  async kill(ms: number): Promise<void> {
    await this.stop()
    await pause(ms)
    this.#server = this.#makeServer()
    await this.#listen()
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
  }

  /** Subscribes a browser of a user. */
  subscribe(user: string): SubscriptionJson {
    const key = createECDH('prime256v1')
    const p256dh = key.generateKeys('base64url')
    const auth = randomBytes(16).toString('base64url')
    const path = `/push/${randomBytes(9).toString('base64url')}`
    this.#browsers.set(path, { user, key, auth })
    return { endpoint: this.origin + path, expirationTime: null, keys: { p256dh, auth } }
  }

  /** Ends a subscription. */
  end({ endpoint }: SubscriptionJson): void {
    this.#ended.add(new URL(endpoint).pathname)
  }

  #makeServer(): Server {
    return createServer((request, response) => {
      response.on('error', () => undefined)
      this.#receive(request, response).catch(() => response.destroy())
    })
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const call = this.#read(request, Buffer.concat(chunks))
    this.calls.push(call)
    const name = `${call.callId} ${call.id}`
    const status = this.#ended.has(call.callId) ? 410 : this.illness === 'none' || this.#hasFailed.has(name) ? 204 : 500
    if (status === 500) this.#hasFailed.add(name)
    if (status === 500 && this.illness === 'hanging') return
    call.status = status
    response.writeHead(status).end()
  }

  #read({ url = '', headers }: IncomingMessage, body: Buffer): ReceivedCall {
    const common = { at: Date.now(), status: 0 }
    const browser = this.#browsers.get(url)
    if (browser === undefined) {
      const { type, data } = JSON.parse(body.toString()) as { type: string; data: { user: string; notification: { id: string } } }
      return { ...common, event: type, user: data.user, id: data.notification.id, callId: String(headers['webhook-id']) }
    }
    const payload = decrypt(body, { version: 'aes128gcm', privateKey: browser.key, authSecret: browser.auth }).toString()
    const { belfry } = JSON.parse(payload) as { belfry: { id: string } }
    return { ...common, event: 'push', user: browser.user, id: belfry.id, callId: url }
  }
}
