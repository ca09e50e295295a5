import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node'

/** Time limit of each step of a connection: the server's greeting, the handshake, the first echo; milliseconds. */
const STEP_MS = 2000
/** Time between two echoes, milliseconds, and unanswered ones in a row after which the connection counts as broken. */
const ECHO_MS = 1000
const UNANSWERED_MAX = 3

const ECHO = new Uint8Array(0)

/** Address and authentication of a group of NATS servers, as the library takes them. */
export type NatsAccess = Pick<ConnectionOptions, 'authenticator' | 'tls' | 'name'> & { servers: string[] }

/**
 * One connection to NATS with one subscription. It never reconnects by itself: the library would send what was published in between, which is
 * late, and would keep all of it in memory. The link sends itself an empty message each second, which proves that both directions work and
 * that the permissions of the user are enough.
 */
export class NatsLink {
  /** Resolves with the reason when the connection has ended. Never rejects. */
  readonly ended: Promise<string>
  readonly #connection: NatsConnection
  readonly #subject: string
  #end: (reason: string) => void = () => undefined
  #onEcho: () => void = () => undefined
  #unanswered = 0
  #timer: NodeJS.Timeout | undefined

  private constructor(connection: NatsConnection, subject: string, onMessage: (message: Buffer) => void) {
    this.#connection = connection
    this.#subject = subject
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    void connection.closed().then((error) => this.#end(error?.message ?? 'the connection was closed'))
    connection.subscribe(subject, {
      callback: (error, { data }) => {
        if (error) this.#end(error.message)
        else if (data.length === 0) this.#onEcho()
        else onMessage(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
      }
    })
    void this.#watch()
  }

  /** Connects to one of the servers, and subscribes. Resolves when a message to the subject has arrived on it. */
  static async open(access: NatsAccess, subject: string, onMessage: (message: Buffer) => void): Promise<NatsLink> {
    const servers = await greeting(access.servers)
    const connection = await connect({ ...access, servers, reconnect: false, timeout: STEP_MS, noAsyncTraces: true }).catch(explain)
    const link = new NatsLink(connection, subject, onMessage)
    try {
      await link.#firstEcho()
    } catch (error) {
      link.close()
      throw error
    }
    link.#timer = setInterval(() => link.#echo(), ECHO_MS)
    return link
  }

  /** Sends a message. Throws if it is too large for the server, or if the connection has ended. */
  publish(subject: string, message: Buffer): void {
    this.#connection.publish(subject, message)
  }

  close(): void {
    clearInterval(this.#timer)
    this.#end('closed')
    this.#connection.close().catch(() => undefined)
  }

  async #firstEcho(): Promise<void> {
    const echoed = new Promise<undefined>((resolve) => {
      this.#onEcho = () => resolve(undefined)
    })
    const limit = new AbortController()
    const late = pause(STEP_MS, 'no message arrived', { signal: limit.signal }).catch(() => undefined)
    this.#connection.publish(this.#subject, ECHO)
    const reason = await Promise.race([echoed, late, this.ended])
    limit.abort()
    if (reason !== undefined) throw new Error(reason)
    this.#onEcho = () => {
      this.#unanswered = 0
    }
  }

  /** Sends another echo, or ends the link. A count of echoes, not a time, so that a pause of this process does not end the link. */
  #echo(): void {
    if (this.#unanswered >= UNANSWERED_MAX) {
      this.#end('the server does not answer')
      this.close()
      return
    }
    this.#unanswered += 1
    this.#connection.publish(this.#subject, ECHO)
  }

  /** Ends the link if the server refuses the subject: without the permission nothing can arrive. */
  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) if (status.type === 'error') this.#end(status.error.message)
  }
}

/**
 * Returns the servers that greet a new connection. Rejects if none does. The library never closes its socket to a server that accepts a
 * connection and then says nothing, so it must not be given one.
 */
async function greeting(servers: readonly string[]): Promise<string[]> {
  const results = await Promise.allSettled(servers.map(awaitGreeting))
  const greeted = servers.filter((_, index) => results[index]?.status === 'fulfilled')
  if (greeted.length > 0) return greeted
  const [first] = results
  throw first?.status === 'rejected' ? first.reason : new Error('no server is configured')
}

async function awaitGreeting(server: string): Promise<void> {
  const { hostname, port } = new URL(server)
  const socket = connectSocket(Number(port || 4222), hostname.replace(/^\[|\]$/g, ''))
  try {
    const signal = AbortSignal.timeout(STEP_MS)
    await Promise.race([
      once(socket, 'data', { signal }),
      once(socket, 'close', { signal }).then(() => Promise.reject(new Error('the connection was closed')))
    ])
  } catch (error) {
    const isLate = error instanceof Error && error.name === 'AbortError'
    throw isLate ? new Error('the server sends no greeting: check NATS_URL, and that the server has no handshake_first') : error
  } finally {
    socket.on('error', () => undefined)
    socket.destroy()
  }
}

/** Rejects with a sentence that names the remedy if the cause is a setting of TLS. */
function explain(error: Error): never {
  if (/does not support 'tls'/.test(error.message)) throw new Error('the server does not speak TLS: write nats:// in NATS_URL')
  if (/self-signed certificate|unable to (get|verify)/.test(error.message)) {
    throw new Error(`${error.message}: set NATS_TLS_CA to the authority of its certificate, and write tls:// in NATS_URL`)
  }
  throw error
}
