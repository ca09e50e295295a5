import { Client } from './client.ts'
import { standardPlatform } from './platform.ts'
import { bindMembers } from './proxies.ts'
import type { BelfryOptions } from './types.ts'

export type { Action, Answer, GapReason, Notification, State, Urgency, Verdict } from '../../../services/protocol/index.ts'
export { BelfryError } from './errors.ts'
export type * from './types.ts'

/**
 * A user's live notifications. Connects to a Belfry service, resumes after every loss of the network, and passes each notification to
 * the handlers once. The tabs of a browser share one connection.
 *
 *     const belfry = new Belfry('https://notify.example.com', { getToken: () => fetchToken() })
 *     belfry.on('notification', ({ notification }) => show(notification))
 *     belfry.connect()
 */
export class Belfry extends Client {
  /**
   * Does not connect: see `connect()`.
   *
   * @param url address of the service: http(s) or ws(s), with a path if the service is mounted under one
   * @throws TypeError if the url has another scheme, or the runtime has no WebSocket and none is given
   */
  constructor(url: string, options: BelfryOptions) {
    super(url, options, standardPlatform())
    bindMembers(this)
  }
}
