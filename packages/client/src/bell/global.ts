import { BelfryError } from '../errors.ts'
import { Inbox } from '../inbox.ts'
import { Belfry as Client } from '../index.ts'
import { BelfryBell, BelfryInbox, englishMessages } from './index.ts'

const members = { Inbox, BelfryBell, BelfryInbox, BelfryError, englishMessages }

/** The class `Belfry`, with the other exports of the package as members. */
export type BelfryGlobal = typeof Client & typeof members

declare global {
  /** Defined by `belfry.global.js`, for pages without a bundler. The file also defines `<belfry-bell>`. */
  var Belfry: BelfryGlobal
}

globalThis.Belfry = Object.assign(Client, members)
