import type { StoreSettings } from '../store.ts'
import type { OpenDatabase } from './database.ts'
import type { StoreLog } from './session-keeper.ts'

export interface EmbeddedOptions {
  /** The data folder. It is created if it does not exist. */
  folder: string
  settings: StoreSettings
  /** Memory for the states of users, bytes. Default 64 MiB. */
  cacheBytes?: number
  /** Interval of the passes that trim expired rows and remove idle users, milliseconds. Default one hour. */
  upkeepMs?: number
  /** Default: LevelDB. */
  openDatabase?: OpenDatabase
  log?: StoreLog
}
