import type { BrowserContext, CDPSession, Page, Worker } from 'playwright-core'
import type { Test } from 'tap'
import type { PushService, Subscribed } from '../fixtures/push-service.ts'
import { VAPID } from '../fixtures/reach.ts'
import { until } from '../fixtures/wait.ts'

/** A notification that a service worker shows. */
export interface Shown {
  title: string
  body: string
  tag: string
  actions: string[]
  silent: boolean | null
}

/**
 * Takes the place of the push service's client in Chromium, which needs Google's servers: the page subscribes to the push service of the test. All
 * else is Chromium's own. The subscription is kept as the browser would: for all pages of the origin.
 */
export async function usePushService(context: BrowserContext, push: PushService): Promise<Map<string, Subscribed>> {
  const made = new Map<string, Subscribed>()
  await context.exposeFunction('subscribeForTest', () => {
    const subscribed = push.subscribe()
    made.set(subscribed.json.endpoint, subscribed)
    return subscribed.json
  })
  await context.addInitScript(() => {
    const { subscribeForTest } = globalThis as unknown as { subscribeForTest(): Promise<{ endpoint: string }> }
    const { PushManager, localStorage, atob } = globalThis as unknown as {
      PushManager: { prototype: object }
      localStorage: { getItem(key: string): string | null; setItem(key: string, value: string): void; removeItem(key: string): void }
      atob(text: string): string
    }
    const subscriptionOf = (json: string) => {
      const { key, ...subscription } = JSON.parse(json)
      const bytes = Uint8Array.from(atob(key.replace(/-/g, '+').replace(/_/g, '/')), (letter) => letter.charCodeAt(0))
      return {
        endpoint: subscription.endpoint,
        options: { applicationServerKey: bytes.buffer },
        toJSON: () => subscription,
        unsubscribe: async () => {
          localStorage.removeItem('test:subscription')
          return true
        }
      }
    }
    Object.assign(PushManager.prototype, {
      async getSubscription() {
        const json = localStorage.getItem('test:subscription')
        return json === null ? null : subscriptionOf(json)
      },
      async subscribe({ applicationServerKey }: { applicationServerKey: string }) {
        const json = JSON.stringify({ ...(await subscribeForTest()), key: applicationServerKey })
        localStorage.setItem('test:subscription', json)
        return subscriptionOf(json)
      }
    })
  })
  return made
}

/** Delivers pushes to the service worker of a page, as Chromium does when its push service sends one. */
export class PushDelivery {
  readonly #session: CDPSession
  readonly #origin: string
  #registrationId = ''

  private constructor(session: CDPSession, origin: string) {
    this.#session = session
    this.#origin = origin
  }

  static async start(t: Test, page: Page): Promise<PushDelivery> {
    const session = await page.context().newCDPSession(page)
    const delivery = new PushDelivery(session, new URL(page.url()).origin)
    session.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
      delivery.#registrationId = registrations.find(({ isDeleted }) => !isDeleted)?.registrationId ?? delivery.#registrationId
    })
    await session.send('ServiceWorker.enable')
    t.teardown(() => session.detach().catch(() => {}))
    return delivery
  }

  async deliver(data: string | object): Promise<void> {
    await until(() => this.#registrationId !== '', 'a service worker')
    const text = typeof data === 'string' ? data : JSON.stringify(data)
    const target = { origin: this.#origin, registrationId: this.#registrationId }
    await this.#session.send('ServiceWorker.deliverPushMessage', { ...target, data: text })
  }

  /**
   * Delivers what the push service of the test got for a subscription, from the number `from` on.
   *
   * @param publicKey key of the service; default: that of `startReach`
   */
  async forward(push: PushService, subscribed: Subscribed, from = 0, publicKey = VAPID.publicKey): Promise<void> {
    for (const { payload } of (await push.pushes(subscribed, publicKey)).slice(from)) await this.deliver(payload)
  }
}

export function workerOf(context: BrowserContext): Worker {
  const worker = context.serviceWorkers().at(-1)
  if (!worker) throw new Error('there is no service worker')
  return worker
}

/** Resolves when the service worker has shown a notification with this tag. */
export async function untilShown(context: BrowserContext, tag: string): Promise<void> {
  await until(async () => ((await workerOf(context).evaluate('self.completed')) as string[]).includes(tag), `${tag} is shown`)
}

/** Returns what the service worker shows. */
export function shownBy(worker: Worker): Promise<Shown[]> {
  return worker.evaluate(`registration.getNotifications().then((all) => all.map(({ title, body, tag, silent, actions }) => (
    { title, body, tag, silent, actions: actions.map((one) => one.title) })))`)
}

/**
 * Clicks a shown notification, or one of its buttons. Headless Chromium shows no notification that a test could click, so the event is made in
 * the worker. Browsers allow a worker to focus and to open a window only for a real click: those two are recorded.
 */
export async function click(worker: Worker, tag: string, action = ''): Promise<void> {
  await worker.evaluate(
    `(async () => {
      globalThis.windows ??= []
      clients.openWindow = async (url) => void windows.push('open ' + url)
      WindowClient.prototype.focus = async function () { windows.push('focus ' + this.url); return this }
      const notification = (await registration.getNotifications()).find((one) => one.tag === ${JSON.stringify(tag)})
      const event = new NotificationEvent('notificationclick', { notification, action: ${JSON.stringify(action)} })
      const waits = []
      Object.defineProperty(event, 'waitUntil', { value: (promise) => waits.push(promise) })
      dispatchEvent(event)
      await Promise.all(waits)
    })()`
  )
}
