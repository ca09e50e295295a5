import type { StoreSettings } from '../store.ts'
import type { Availability } from './availability.ts'
import type { Keys } from './keys.ts'
import type { Master } from './master.ts'

/** Settings that all nodes must share. `bus` is undefined for Redis Pub/Sub, so that a node of an earlier version, which has no other, agrees. */
type Compared = Omit<StoreSettings, 'clock'> & { bus: string | undefined }

/** Environment variable of each setting. */
const VARIABLES: Record<keyof Compared, string> = {
  rateLimit: 'RATE_LIMIT_MAX',
  rateWindowMs: 'RATE_LIMIT_WINDOW_MS',
  parkedMax: 'PARKED_MAX',
  scheduledMax: 'SCHEDULED_MAX',
  retentionMs: 'RETENTION_SECONDS',
  maxEntries: 'LOG_MAX_ENTRIES',
  maxConnections: 'MAX_CONNECTIONS_PER_USER',
  revocationTtlMs: 'MAX_TOKEN_LIFETIME',
  push: 'PUSH_AFTER_SECONDS, PUSH_UNLESS or the VAPID keys:',
  webhookEvents: 'WEBHOOK_EVENTS or WEBHOOK_URL:',
  presence: 'PRESENCE_GRACE_SECONDS:',
  bus: 'the bus of NATS_URL:'
}

/**
 * Warns operators when nodes of one store run with different settings. The node still starts, because settings are changed by a rolling
 * restart, during which nodes differ.
 */
export class SettingsCheck {
  /** Number of live nodes whose settings differ from this node's. */
  differing = 0
  readonly #availability: Availability
  readonly #keys: Keys
  readonly #node: string
  readonly #settings: Compared
  readonly #warn: (message: string) => void
  #logged: string[] = []

  constructor(availability: Availability, keys: Keys, node: string, settings: Compared, warn: (message: string) => void) {
    this.#availability = availability
    this.#keys = keys
    this.#node = node
    this.#settings = settings
    this.#warn = warn
  }

  /** Writes this node's settings if they are missing, and compares them with those of the other live nodes. Logs each difference once. */
  async compare(live: string[]): Promise<void> {
    const others = live.filter((node) => node !== this.#node)
    const [own, ...written] = await this.#call(({ commands }) => commands.hmget(this.#keys.settings, this.#node, ...others))
    const mine = encode(this.#settings)
    if (own !== mine) await this.#call(({ commands }) => commands.hset(this.#keys.settings, this.#node, mine))
    const differing = others.flatMap((node, index) => {
      const text = written[index] ?? null
      return text === null || text === mine ? [] : [{ node, settings: JSON.parse(text) as Compared }]
    })
    this.differing = differing.length
    const messages = differing.map(({ node, settings }) => `${node} has ${this.#differences(settings)}`)
    const unlogged = messages.filter((message) => !this.#logged.includes(message))
    if (unlogged.length > 0) this.#warn(`nodes of this store have other settings than this node: ${unlogged.join('; ')}`)
    this.#logged = messages
  }

  #call<Result>(send: (master: Master) => Promise<Result>): Promise<Result> {
    return this.#availability.route(this.#keys.settingsSlot, send)
  }

  #differences(theirs: Compared): string {
    const names = (Object.keys(VARIABLES) as (keyof Compared)[]).filter(
      (name) => JSON.stringify(theirs[name]) !== JSON.stringify(this.#settings[name])
    )
    return names.map((name) => `${VARIABLES[name]} ${displayed(name, theirs)} (here ${displayed(name, this.#settings)})`).join(', ')
  }
}

function encode(settings: Compared): string {
  return JSON.stringify(Object.fromEntries((Object.keys(VARIABLES) as (keyof Compared)[]).map((name) => [name, settings[name]])))
}

function displayed(name: keyof Compared, settings: Compared): string {
  return name === 'retentionMs' ? String(settings.retentionMs / 1000) : (JSON.stringify(settings[name]) ?? 'none')
}
