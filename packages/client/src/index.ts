import { Client } from './client.ts'
import { standardPlatform } from './platform.ts'
import { bindMembers } from './proxies.ts'
import type { BelfryOptions } from './types.ts'

export type { GapReason, Notification, State, Verdict } from '../../../services/protocol/index.ts'
export { BelfryError } from './errors.ts'
export type * from './types.ts'

/**
 * A user's notifications, live: connects to a Belfry service, resumes after every loss of the network, and hands each
 * notification to the handlers once. Tabs of one browser share one connection.
 *
 *     const belfry = new Belfry('https://notify.example.com', { getToken: () => fetchToken() })
 *     belfry.on('notification', ({ notification }) => show(notification))
 *     belfry.connect()
 */
export class Belfry extends Client {
  /**
   * Opens nothing yet: see `connect()`.
   *
   * @param url where the service is: http(s) or ws(s), with a path when it is mounted under one
   * @throws TypeError when the url has another scheme, or the runtime has no WebSocket and none is given
   */
  constructor(url: string, options: BelfryOptions) {
    super(url, options, standardPlatform())
    bindMembers(this)
  }
}
