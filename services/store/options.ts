import type { PublishOptions } from './commands.ts'
import type { ReachRule } from './reach-rule.ts'

/** The options of a notification that the store acts on. */
export interface Options {
  /** Unix milliseconds; 0: never. */
  expiresAt: number
  /** '': none. */
  collapseKey: string
  /** Names of the actions that the notification offers. */
  actions: string[]
  /** The rules for pushes and a fallback: only until the notification is in the log. Then its checks follow from them. */
  push?: false | ReachRule | undefined
  fallback?: ReachRule | undefined
}

export const NO_OPTIONS: Options = Object.freeze({ expiresAt: 0, collapseKey: '', actions: [] })

/** The options of a notification in the log, at `offset`. */
export interface LogOptions extends Options {
  offset: number
}

/** Returns the options of a publish that the store keeps; `NO_OPTIONS` if there are none. */
export function optionsOf({ expiresAt = 0, collapseKey = '', actions = [], push, fallback }: PublishOptions): Options {
  if (push !== undefined || fallback !== undefined) return { expiresAt, collapseKey, actions, push, fallback }
  const options = { expiresAt, collapseKey, actions }
  return isPlain(options) ? NO_OPTIONS : options
}

/** Returns whether a notification in the log has no options that are kept of it. */
export function isPlain({ expiresAt, collapseKey, actions }: Options): boolean {
  return expiresAt === 0 && collapseKey === '' && actions.length === 0
}

/** Returns the options that are kept of a notification in the log. All have one shape: for copies by `...` V8 makes slow objects. */
export function logOptionsOf({ expiresAt, collapseKey, actions }: Options, offset: number): LogOptions {
  return { expiresAt, collapseKey, actions, offset }
}
