import type { State } from '../../../services/protocol/index.ts'
import { attempt } from './attempt.ts'
import { BelfryError } from './errors.ts'
import type { Events } from './events.ts'
import type { InboxPage } from './inbox-pages.ts'
import { activated, hasKey, type PushChannel, page, type WorkerClick } from './push-browser.ts'
import { deleteRecord, type PushRecord, readRecord, writeRecord } from './push-record.ts'
import { type RestClient, request } from './rest.ts'
import type {
  BelfryEvents,
  BrowserSubscription,
  ConnectionState,
  EventName,
  Handler,
  PushOptions,
  PushRegistration,
  PushState
} from './types.ts'

/** Tells the other tabs that push was switched. */
const CHANNEL = 'belfry:push'

/** Shown notifications are compared with this many of the inbox. */
const PAGE = 100

/** A click that opened a tab is told by a tab that was loaded after it, at most this much later. A clock may be set back a little, milliseconds. */
const CLICK_MS = 60_000
const CLOCK_STEP_MS = 1000

/** The parts of a client that push needs. */
interface PushClient extends RestClient {
  readonly state: ConnectionState
  readonly user: string
  readonly deviceId: string
  readonly unread: number
  on<E extends EventName>(event: E, handler: Handler<E>): () => void
}

/**
 * The page's half of Web Push: subscribes the browser, keeps the service's copy of the subscription up to date, closes shown notifications that
 * are outdated, and keeps the badge of the app. Loaded when push is on or asked for.
 *
 * Invariant "one user": a subscription ends when a client of another user connects, so that nobody sees the notifications of somebody else.
 */
export class Push {
  state: PushState = 'off'
  readonly #client: PushClient
  readonly #events: Events<BelfryEvents>
  #channel: PushChannel | undefined
  /** Set while push is on. */
  #registration: PushRegistration | undefined
  /** The key of the service was compared with that of the subscription since the page was loaded. */
  #isKeyCurrent = false
  /** The service was given the subscription since the page was loaded, and has lost no rows since. */
  #isGiven = false
  /** Changes run one after the other. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(client: PushClient, events: Events<BelfryEvents>) {
    this.#client = client
    this.#events = events
    // A frame without an origin of its own has no service workers.
    const isSupported = page.PushManager && page.Notification && attempt(() => page.navigator.serviceWorker)
    if (isSupported) this.#watch()
    else this.state = 'unsupported'
  }

  #watch(): void {
    const client = this.#client
    this.#channel = new page.BroadcastChannel(CHANNEL)
    this.#channel.onmessage = () => this.refresh()
    const { serviceWorker, permissions } = page.navigator
    permissions?.query({ name: 'notifications' }).then(
      (status) => {
        status.onchange = () => this.refresh()
      },
      () => {}
    )
    serviceWorker.addEventListener('message', ({ data, ports: [port] }) => {
      if (!data?.belfry || data.scope !== this.#registration?.scope) return
      if (data.belfry === 'subscription') this.refresh()
      else if (port) this.#click(data as unknown as WorkerClick, port)
    })
    serviceWorker.startMessages()
    client.on('state', ({ state }) => state === 'connected' && this.refresh())
    client.on('gap', () => {
      this.#isGiven = false
      this.refresh()
    })
    client.on('user', ({ user }) => (user ? this.refresh() : this.end()))
    client.on('unread', () => this.#count())
    const isOver = (state: State): boolean => state === 'read' || state === 'archived'
    client.on('notification', ({ notification: { id, replaces }, state, answered }) => {
      if (replaces) this.#close([replaces])
      if (answered || isOver(state)) this.#close([id])
    })
    client.on('marked', ({ ids, state }) => isOver(state) && this.#close(ids))
    client.on('answered', ({ id }) => this.#close([id]))
    client.on('retract', ({ id }) => this.#close([id]))
    client.on('digest', ({ ids }) => this.#close(ids))
    this.refresh()
  }

  /**
   * Finds out whether push is on. Gives the service the subscription once for each page, since its store may have lost it, and when the browser or a
   * change of the service's key has renewed it.
   */
  refresh(): void {
    this.#enqueue(() => this.#refresh()).catch(() => {})
  }

  /** Subscribes this browser after the user has given the permission. Rejects with a `BelfryError`, or with the error of the browser. */
  enable({ serviceWorker }: PushOptions): Promise<PushState> {
    return this.#enqueue(async () => {
      if (page.Notification.permission !== 'granted') {
        this.#set(undefined)
        return
      }
      const registration = await activated(
        typeof serviceWorker === 'string' ? await page.navigator.serviceWorker.register(serviceWorker) : serviceWorker
      )
      const { scope } = registration
      const publicKey = await this.#publicKey()
      // The request needed a token, which names the user.
      const { url, user } = this.#client
      const before = await readRecord((record) => record.scope === scope)
      let subscription = await registration.pushManager.getSubscription()
      if (subscription && !before && !hasKey(subscription, publicKey)) {
        const message = `the service worker ${scope} has a push subscription of another service: give one with another scope`
        throw new BelfryError('BELFRY_CLIENT_PUSH_TAKEN', message, false)
      }
      if (subscription && !(before?.user === user && before.url === url && hasKey(subscription, publicKey))) {
        await subscription.unsubscribe()
        subscription = null
      }
      subscription ??= await subscribe(registration, publicKey)
      await this.#give(subscription, { scope, url, publicKey, user, endpoint: '' })
      this.#set(registration)
      this.#channel?.postMessage(0)
    })
  }

  /** Ends the subscription, here and at the service. */
  disable(): Promise<PushState> {
    return this.#enqueue(async () => {
      await this.#end()
      await this.#delete()
    })
  }

  /** Ends the subscription without a request to the service, for which there may be no token any more: the push service refuses its next push. */
  end(): void {
    this.#enqueue(() => this.#end()).catch(() => {})
  }

  /** Runs after the changes before it. Without Web Push there is nothing to do. */
  #enqueue(run: () => Promise<unknown>): Promise<PushState> {
    const running = this.#queue.then(async () => {
      if (this.state !== 'unsupported') await run()
      return this.state
    })
    this.#queue = running.catch(() => {})
    return running
  }

  async #refresh(): Promise<void> {
    const { url, user } = this.#client
    let record = await readRecord((record) => record.url === url)
    const registration = record && (await page.navigator.serviceWorker.getRegistration(record.scope))
    const isGranted = page.Notification.permission === 'granted'
    // The browser may name a worker of a wider scope.
    if (!isGranted || !record || registration?.scope !== record.scope) return this.#set(undefined)
    if (user && user !== record.user) return this.#end()
    let subscription = (await registration.pushManager.getSubscription()) ?? (await subscribe(registration, record.publicKey))
    this.#set(registration)
    record = await this.#takeClick(record)
    // Push services refuse pushes to a subscription that was made with an earlier key of the service.
    const publicKey = user && !this.#isKeyCurrent ? await this.#publicKey().catch(() => '') : ''
    if (publicKey && publicKey !== record.publicKey) {
      if (!hasKey(subscription, publicKey)) {
        await subscription.unsubscribe()
        subscription = await subscribe(registration, publicKey)
      }
      record = { ...record, publicKey, endpoint: '' }
    }
    this.#isKeyCurrent ||= publicKey !== ''
    if (user && !(this.#isGiven && subscription.endpoint === record.endpoint)) await this.#give(subscription, record)
    if (this.#client.state === 'connected') await this.#closeOutdated(registration)
  }

  async #publicKey(): Promise<string> {
    return ((await request(this.#client, '/v1/push/key')) as { publicKey: string }).publicKey
  }

  async #give(subscription: BrowserSubscription, record: PushRecord): Promise<void> {
    const { deviceId } = this.#client
    const headers = { 'content-type': 'application/json' }
    await request(this.#client, pathOf(deviceId), { method: 'PUT', headers, body: JSON.stringify(subscription) })
    this.#isGiven = true
    const { endpoint } = subscription
    if (endpoint !== record.endpoint) await writeRecord({ ...record, endpoint })
    // Another tab may have switched push off in between.
    else if (!(await readRecord(({ scope }) => scope === record.scope))) await this.#delete()
  }

  /** The browser's subscription has ended: without this request the service would find that out with the next push. */
  async #delete(): Promise<void> {
    await request(this.#client, pathOf(this.#client.deviceId), { method: 'DELETE' }).catch(() => {})
  }

  async #end(): Promise<void> {
    const { url } = this.#client
    const record = await readRecord((record) => record.url === url)
    const registration = record && (await page.navigator.serviceWorker.getRegistration(record.scope))
    if (!record) return this.#set(undefined)
    await deleteRecord(record.scope)
    await (await registration?.pushManager.getSubscription())?.unsubscribe()
    this.#registration = registration
    await this.#close()
    this.#badge(0)
    this.#set(undefined)
    this.#channel?.postMessage(0)
  }

  /** Sets the state: `on` with a registration. */
  #set(registration: PushRegistration | undefined): void {
    this.#registration = registration
    const before = this.state
    this.state = registration ? 'on' : page.Notification.permission === 'denied' ? 'denied' : 'off'
    this.#count()
    if (before !== this.state) this.#events.emit('push', { push: this.state })
  }

  /** The count is 0 before the first connection, which says nothing. */
  #count(): void {
    const { state, unread } = this.#client
    if (this.state !== 'on' || state !== 'connected') return
    this.#badge(unread)
    // The user has not read a notification that is pushed while the browser lists the shown ones: it stays.
    if (unread === 0) this.#close(undefined, () => this.#client.unread === 0)
  }

  #badge(count: number): void {
    page.navigator.setAppBadge?.(count).catch(() => {})
  }

  /** Closes the shown notifications with these ids; without ids, all of this service. */
  async #close(ids?: string[], mayClose = (): boolean => true): Promise<void> {
    const shown = (await this.#registration?.getNotifications().catch(() => [])) ?? []
    for (const notification of mayClose() ? shown : []) {
      const { tag, data } = notification
      // A browser with Declarative Web Push shows notifications without `data`.
      if (ids ? ids.includes(tag) : (data as { belfry?: unknown } | null)?.belfry) notification.close()
    }
  }

  /**
   * Closes the shown notifications that are no longer unread. This tab has no events for them if they changed while no tab was open, and the
   * log was trimmed since, or this module was loaded later.
   */
  async #closeOutdated(registration: PushRegistration): Promise<void> {
    const shown = (await registration.getNotifications()).map(({ tag }) => tag)
    if (shown.length === 0) return
    const { items, nextCursor } = (await request(this.#client, `/v1/me/notifications?state=unread,seen&limit=${PAGE}`)) as InboxPage
    const waiting = items.map(({ id }) => id)
    if (!nextCursor) await this.#close(shown.filter((id) => !waiting.includes(id)))
  }

  /** Tells the click that opened this tab, if there is one. Returns the record without it. */
  async #takeClick(record: PushRecord): Promise<PushRecord> {
    const { click, ...rest } = record
    if (!click || page.performance.timeOrigin < click.at - CLOCK_STEP_MS) return record
    await writeRecord(rest)
    const { at, ...told } = click
    if (Date.now() - at < CLICK_MS) this.#events.emit('pushClick', { ...told, preventDefault() {} })
    return rest
  }

  #click({ id, eventId, url }: WorkerClick, port: PushChannel): void {
    let goes = url !== page.location.href
    this.#events.emit('pushClick', {
      id,
      eventId,
      url,
      preventDefault: () => {
        goes = false
      }
    })
    // The worker answers when it has focused this tab.
    port.onmessage = () => goes && page.location.assign(url)
    port.postMessage(0)
  }
}

function subscribe({ pushManager }: PushRegistration, applicationServerKey: string): Promise<BrowserSubscription> {
  return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey })
}

function pathOf(deviceId: string): string {
  return `/v1/me/devices/${encodeURIComponent(deviceId)}/push`
}
