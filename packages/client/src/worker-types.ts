/** The parts of a service worker's globals that `sw.ts` uses. */
export interface Worker {
  addEventListener<E extends keyof WorkerEvents>(event: E, listener: (event: WorkerEvents[E]) => void): void
  registration: {
    scope: string
    pushManager: { subscribe(options: { userVisibleOnly: true; applicationServerKey: string }): Promise<unknown> }
    showNotification(title: string, options: ShownOptions): Promise<void>
    getNotifications(): Promise<ShownNotification[]>
  }
  clients: {
    matchAll(options: { type: 'window'; includeUncontrolled: true }): Promise<WindowClient[]>
    openWindow(url: string): Promise<unknown>
  }
  navigator: { setAppBadge?(count: number): Promise<void> }
  fetch(url: string, init: { method: 'POST'; headers: Record<string, string>; body: string }): Promise<{ ok: boolean; status: number }>
  setTimeout(run: () => void, ms: number): void
  MessageChannel: new () => { port1: MessagePortLike; port2: unknown }
  origin: string
}

interface MessagePortLike {
  onmessage: () => void
  postMessage(message: unknown): void
}

interface ExtendableEvent {
  waitUntil(promise: Promise<unknown>): void
  stopImmediatePropagation(): void
}

interface WorkerEvents {
  push: ExtendableEvent & {
    data: { json(): unknown } | null
    /** The notification that a browser with Declarative Web Push is about to show. */
    notification?: unknown
  }
  notificationclick: ExtendableEvent & { notification: ShownNotification; action: string }
  pushsubscriptionchange: ExtendableEvent & { newSubscription?: unknown; oldSubscription?: { endpoint: string } | null }
}

export interface WindowClient {
  url: string
  frameType: string
  postMessage(message: object, transfer: unknown[]): void
  focus(): Promise<unknown>
}

/** The ids of a pushed notification, and how a click is handled. */
export interface PushData {
  id: string
  eventId: string
  /** The link that answers the notification without a token. */
  answerLink?: string
  /** The actions that have an address of their own, and it is that of the notification. */
  opens?: string[]
  /** A hash of the `collapseKey`: a newer notification with the same one takes the place of the older. */
  topic?: string
}

interface ShownAction {
  action: string
  title: string
  navigate: string
}

/** The payload of a push: Declarative Web Push, and `belfry`. */
export interface PushPayload {
  notification: { title: string; body?: string; navigate: string; tag: string; silent?: true; actions?: ShownAction[] }
  app_badge?: number
  belfry: PushData
}

export type ClickData = PushData & { navigate: string; actions: ShownAction[] }

interface ShownOptions {
  body: string | undefined
  tag: string
  silent: boolean | null
  actions: { action: string; title: string }[]
  data: { belfry: ClickData }
}

export interface ShownNotification {
  title: string
  body: string
  tag: string
  data: { belfry?: ClickData } | null | undefined
  close(): void
}
