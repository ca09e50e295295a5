import { BatchSender } from './batch-sender.ts'
import { Broadcasts } from './broadcasts.ts'
import { BelfryError } from './errors.ts'
import { Http } from './http.ts'
import { Topics } from './topics.ts'
import type {
  Accepted,
  Audience,
  BelfryOptions,
  CallOptions,
  Notification,
  NotifyOptions,
  PresenceWithDevices,
  Published,
  PublishedToAudience,
  PublishedToList,
  To,
  UserPresence
} from './types.ts'
import { verifyWebhook } from './webhook.ts'

/** Most users in one request for presence. */
const MAX_USERS = 1000

/**
 * A Belfry service, for the services that publish through it. One instance for a process is enough.
 *
 *     const belfry = new Belfry('https://notify.example.com', { apiKey: process.env.BELFRY_API_KEY })
 *     const { id, status } = await belfry.notify('alice', { type: 'sync.done', title: 'Sync finished' })
 */
export class Belfry {
  /** Topics and their members. */
  readonly topics: Topics
  /** The jobs that `notify()` to an audience starts. */
  readonly broadcasts: Broadcasts
  /** The function of the same name. */
  readonly verifyWebhook: typeof verifyWebhook = verifyWebhook
  readonly #http: Http
  readonly #sender: BatchSender
  #isClosed = false

  /**
   * Sends nothing yet.
   *
   * @param url address of the service, with a path if it is mounted under one
   * @throws TypeError if the url is not http(s), or the options have neither or both of `apiKey` and `getToken`, or no valid `timeoutMs`
   */
  constructor(url: string, options: BelfryOptions) {
    this.#http = new Http(url, options)
    this.#sender = new BatchSender(this.#http)
    this.topics = new Topics(this.#http)
    this.broadcasts = new Broadcasts(this.#http)
  }

  /**
   * Publishes a notification. Resolves when it is stored, as safely as `durability` says: to one user with the outcome, to a list with an outcome for
   * each user, to an audience with the broadcast.
   *
   * A call that fails for a reason that may pass is repeated and never published twice. The notifications of calls for one user are published in the
   * order of the calls, and so are broadcasts to one audience.
   *
   * Rejects with a `BelfryError`, with the reason of `signal`, or with a TypeError if the notification is not JSON.
   */
  notify(to: string, notification: Notification, options?: NotifyOptions): Promise<Published>
  notify(to: readonly string[], notification: Notification, options?: NotifyOptions): Promise<PublishedToList>
  notify(to: Audience, notification: Notification, options?: NotifyOptions): Promise<PublishedToAudience>
  notify(to: To, notification: Notification, options?: NotifyOptions): Promise<Published | PublishedToList | PublishedToAudience>
  async notify(
    to: To,
    notification: Notification,
    { idempotencyKey = crypto.randomUUID(), ...options }: NotifyOptions = {}
  ): Promise<Published | PublishedToList | PublishedToAudience> {
    if (this.#isClosed) throw new BelfryError('BELFRY_SDK_CLOSED', 'The client was closed')
    const item = { ...notification, to, idempotencyKey }
    const { id, durability, results, broadcast } = await this.#sender.publish(to, item, options)
    if (broadcast !== undefined) return { id, durability, broadcast }
    if (typeof to !== 'string') return { id, durability, results }
    return { id, durability, ...(results[0] as Accepted) }
  }

  /** Recalls a notification: scheduled, parked or pending, it never appears; shown, every device removes it. Rejects with 404 if there is none. */
  async recall(user: string, id: string, options?: CallOptions): Promise<void> {
    const path = `/v1/users/${encodeURIComponent(user)}/notifications/${encodeURIComponent(id)}`
    await this.#http.retry('DELETE', path, options)
  }

  /** Returns the presence of a user with the connected devices, or of any number of users, in their order. Needs the scope `admin`. */
  presence(user: string, options?: CallOptions): Promise<PresenceWithDevices>
  presence(users: readonly string[], options?: CallOptions): Promise<UserPresence[]>
  async presence(users: string | readonly string[], options?: CallOptions): Promise<PresenceWithDevices | UserPresence[]> {
    if (typeof users === 'string') {
      return (await this.#http.retry('GET', `/v1/users/${encodeURIComponent(users)}/presence`, options)) as PresenceWithDevices
    }
    const all: UserPresence[] = []
    for (let from = 0; from < users.length; from += MAX_USERS) {
      const body = { users: users.slice(from, from + MAX_USERS) }
      all.push(...((await this.#http.retry('POST', '/v1/presence', options, body)) as { items: UserPresence[] }).items)
    }
    return all
  }

  /** Takes no more notifications. Resolves when every call of `notify` before it has settled. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#sender.whenIdle()
  }
}
