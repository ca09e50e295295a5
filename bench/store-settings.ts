import type { StoreSettings } from '../services/store/store.ts'

/** Settings of a store that a program measures without the service: no limit is reached. */
export const storeSettings: StoreSettings = {
  rateLimit: 0,
  rateWindowMs: 1000,
  parkedMax: 1000,
  scheduledMax: 1000,
  retentionMs: 604_800_000,
  maxEntries: 1000,
  maxConnections: 0,
  revocationTtlMs: 86_400_000
}

/** Title of a notification of usual length, and the tail of its row. */
export const usualTitle = 'x'.repeat(150)
export const usualTail = `"type":"sync.done","title":"${usualTitle}","timestamp":1754000000000}`
