import { BelfryError } from './errors.ts'
import type { BrowserSubscription, PushRegistration } from './types.ts'

const ACTIVATION_MS = 15_000
const POLL_MS = 50

/** A message of the service worker. */
export interface WorkerMessage {
  belfry?: 'click' | 'subscription'
  scope?: string
}

/** The click that a `WorkerMessage` tells. */
export interface WorkerClick {
  id: string
  eventId: string
  url: string
}

/** The part of a `BroadcastChannel` and a `MessagePort` that push uses. */
export interface PushChannel {
  onmessage: (() => void) | null
  postMessage(message: unknown): void
}

interface WorkerMessageEvent {
  data: WorkerMessage | null
  ports: readonly PushChannel[]
}

interface ServiceWorkers {
  register(script: string): Promise<PushRegistration>
  getRegistration(scope: string): Promise<PushRegistration | undefined>
  addEventListener(event: 'message', listener: (event: WorkerMessageEvent) => void): void
  startMessages(): void
}

/** The globals of a page. Without `PushManager` others may be missing too. */
interface PushGlobals {
  PushManager?: unknown
  Notification: { permission: 'granted' | 'denied' | 'default'; requestPermission(): Promise<string> }
  navigator: {
    serviceWorker: ServiceWorkers
    setAppBadge?(count: number): Promise<void>
    permissions?: { query(what: { name: 'notifications' }): Promise<{ onchange: (() => void) | null }> }
  }
  location: { href: string; assign(url: string): void }
  performance: { timeOrigin: number }
  BroadcastChannel: new (name: string) => PushChannel
  setTimeout(run: () => void, ms: number): unknown
  btoa(text: string): string
}

export const page = globalThis as unknown as PushGlobals

/** Resolves when the service worker is active: before, a browser refuses to subscribe. Rejects if that takes longer than 15 s. */
export async function activated(registration: PushRegistration): Promise<PushRegistration> {
  for (let waitedMs = 0; !registration.active; waitedMs += POLL_MS) {
    if (waitedMs > ACTIVATION_MS)
      throw new BelfryError('BELFRY_CLIENT_PUSH_WORKER', `the service worker ${registration.scope} did not start`)
    await new Promise<void>((resolve) => void page.setTimeout(resolve, POLL_MS))
  }
  return registration
}

/** Returns true if the subscription was made with this key, base64url. */
export function hasKey({ options }: BrowserSubscription, publicKey: string): boolean {
  const bytes = new Uint8Array(options.applicationServerKey ?? new ArrayBuffer(0))
  const base64 = page.btoa(String.fromCharCode(...bytes))
  return base64.replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '') === publicKey.replace(/=/g, '')
}
