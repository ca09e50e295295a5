import { attempt } from './attempt.ts'
import { webLink } from './links.ts'
import { readRecord, writeRecord } from './push-record.ts'
import type { ClickData, PushPayload, ShownNotification, WindowClient, Worker } from './worker-types.ts'

/**
 * The service worker's half of Web Push. Load it before the app's own handlers:
 *
 *     importScripts('https://notify.example.com/client/sw.js')
 *
 * It handles the pushes of Belfry and the clicks on what it showed, and stops those events, so that the app's handlers see only their own.
 */

/** A tab that runs the SDK answers a click within this time. Browsers allow a worker to open a window for about a second after a click. */
const TAB_ANSWER_MS = 500

const worker = globalThis as unknown as Worker

/** Returns the payload; undefined if the push is not Belfry's. */
function payloadOf(data: { json(): unknown } | null): PushPayload | undefined {
  const payload = attempt(() => data?.json()) as PushPayload | undefined
  return payload?.belfry?.id && payload.notification?.title ? payload : undefined
}

async function show({ notification, belfry }: PushPayload): Promise<void> {
  const { registration } = worker
  const { title, body, navigate, tag, silent = null, actions = [] } = notification
  await registration.showNotification(title, {
    body,
    tag,
    silent,
    actions: actions.map(({ action, title }) => ({ action, title })),
    data: { belfry: { ...belfry, navigate, actions } }
  })
  if (!belfry.topic) return
  for (const older of await registration.getNotifications()) {
    if (older.tag !== tag && older.data?.belfry?.topic === belfry.topic) older.close()
  }
}

/** Returns the address that a click opens. '/' is the start page of the app, which may be mounted under a path. */
function addressOf(navigate: string): string {
  const { scope } = worker.registration
  return webLink(navigate === '/' ? scope : navigate, scope) ?? scope
}

/** Passes a click to a tab. Resolves with a function that lets the tab go on; undefined if the tab does not run the SDK, or is frozen. */
function tell(tab: WindowClient, click: object): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    const { port1, port2 } = new worker.MessageChannel()
    port1.onmessage = () => resolve(() => port1.postMessage(0))
    worker.setTimeout(() => resolve(undefined), TAB_ANSWER_MS)
    tab.postMessage({ belfry: 'click', scope: worker.registration.scope, ...click }, [port2])
  })
}

/** Opens an address of the app in a new tab, and leaves the click for the SDK there. A browser that stores nothing opens the tab all the same. */
async function openTab(id: string, eventId: string, url: string): Promise<void> {
  const { scope } = worker.registration
  try {
    const record = await readRecord((record) => record.scope === scope)
    if (record) await writeRecord({ ...record, click: { id, eventId, url, at: Date.now() } })
  } catch {}
  await worker.clients.openWindow(url)
}

/** Focuses a tab of the app, which goes to the address of the notification, or opens the address in a new tab. */
async function open({ id, eventId, navigate }: ClickData): Promise<void> {
  const { scope } = worker.registration
  const url = addressOf(navigate)
  const tabs = (await worker.clients.matchAll({ type: 'window', includeUncontrolled: true })).filter(
    (client) => client.frameType === 'top-level' && client.url.startsWith(scope)
  )
  const tab = url.startsWith(`${worker.origin}/`) ? (tabs.find((tab) => tab.url === url) ?? tabs[0]) : undefined
  // A worker may focus or open one window for a click: it must know which of the two first.
  const proceed = tab && (await tell(tab, { id, eventId, url }))
  if (!tab || !(proceed || tab.url === url)) return openTab(id, eventId, url)
  await tab.focus()
  proceed?.()
}

/** Sends an answer. If the service cannot be reached, the notification is shown again; if it takes no answer any more, without its buttons. */
async function answer({ title, body, tag }: ShownNotification, belfry: ClickData, action: string): Promise<void> {
  const { scope } = worker.registration
  const record = await readRecord((record) => record.scope === scope)
  if (!record) return open(belfry)
  const reply = await worker
    .fetch(`${record.url}/v1/answers`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ link: belfry.answerLink, action })
    })
    .catch(() => undefined)
  // 409: another device was first.
  if (reply?.ok || reply?.status === 409) return
  const isOver = reply && reply.status < 500 && reply.status !== 429
  const { navigate, actions, ...rest } = belfry
  await show({ notification: { title, body, navigate, tag, actions: isOver ? [] : actions }, belfry: rest })
}

worker.addEventListener('push', (event) => {
  const payload = payloadOf(event.data)
  if (!payload) return
  event.stopImmediatePropagation()
  // A browser with Declarative Web Push shows the notification and the badge by itself.
  if (event.notification) return
  worker.navigator.setAppBadge?.(payload.app_badge ?? 0).catch(() => {})
  event.waitUntil(show(payload))
})

worker.addEventListener('notificationclick', (event) => {
  const { notification, action } = event
  const belfry = notification.data?.belfry
  if (!belfry) return
  event.stopImmediatePropagation()
  notification.close()
  const chosen = belfry.actions.find((one) => one.action === action)
  if (!chosen || !belfry.answerLink) return event.waitUntil(open(belfry))
  // Every action of Declarative Web Push has an address: that of the notification if it has none of its own.
  const opens = chosen.navigate !== belfry.navigate || belfry.opens?.includes(action)
  const opened = opens && worker.clients.openWindow(addressOf(chosen.navigate))
  event.waitUntil(Promise.allSettled([opened, answer(notification, belfry, action)]))
})

worker.addEventListener('pushsubscriptionchange', (event) => {
  const { registration, clients } = worker
  const renew = async (): Promise<void> => {
    const record = await readRecord(({ scope }) => scope === registration.scope)
    // Without a record, or with another endpoint, the subscription is the app's own.
    if (!record || (event.oldSubscription && event.oldSubscription.endpoint !== record.endpoint)) return
    if (!event.newSubscription) {
      await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: record.publicKey })
    }
    // A tab gives the new subscription to the service, at once or when it is opened: that takes a token of the user.
    const tabs = await clients.matchAll({ type: 'window', includeUncontrolled: true })
    for (const tab of tabs) tab.postMessage({ belfry: 'subscription', scope: registration.scope }, [])
  }
  event.waitUntil(renew())
})
