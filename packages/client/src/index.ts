import { Client } from './client.ts'
import { standardPlatform } from './platform.ts'
import { bindMembers } from './proxies.ts'
import type { Push } from './push.ts'
import type { BelfryOptions, PushOptions, PushState } from './types.ts'

export type { Action, Answer, GapReason, Notification, State, Urgency, Verdict } from '../../../services/protocol/index.ts'
export { BelfryError } from './errors.ts'
export type * from './types.ts'

interface PushGlobals {
  PushManager?: unknown
  Notification?: { permission: string; requestPermission(): Promise<string> }
}

const { Notification, PushManager } = globalThis as PushGlobals

/**
 * A user's live notifications. Connects to a Belfry service, resumes after every loss of the network, and passes each notification to
 * the handlers once. The tabs of a browser share one connection.
 *
 *     const belfry = new Belfry('https://notify.example.com', { getToken: () => fetchToken() })
 *     belfry.on('notification', ({ notification }) => show(notification))
 *     belfry.connect()
 */
export class Belfry extends Client {
  #push: Push | undefined

  /**
   * Does not connect: see `connect()`.
   *
   * @param url address of the service: http(s) or ws(s), with a path if the service is mounted under one
   * @throws TypeError if the url has another scheme, or the runtime has no WebSocket and none is given
   */
  constructor(url: string, options: BelfryOptions) {
    super(url, options, standardPlatform())
    bindMembers(this)
    if (Notification?.permission === 'granted') this.#start()
  }

  /**
   * Says whether this browser shows notifications of the user when no tab is open. The first call loads a module; until then it is `off`. The
   * event `push` tells changes.
   */
  get push(): PushState {
    if (!PushManager) return 'unsupported'
    this.#start()
    return this.#push?.state ?? 'off'
  }

  /**
   * Asks the user for the permission, subscribes this browser, and gives the subscription to the service. Call it when the user presses a
   * button: browsers ask only then. Resolves with the new state, which is `denied` or `off` if the user refused. Rejects with a `BelfryError`,
   * or with the error of the browser.
   */
  async enablePush(options: PushOptions): Promise<PushState> {
    // First, since loading a module can take longer than a browser remembers the press of a button.
    await Notification?.requestPermission()
    return (await this.#load()).enable(options)
  }

  /** Ends the subscription of this browser. The permission stays. */
  async disablePush(): Promise<void> {
    await (await this.#load()).disable()
  }

  override forget(): void {
    super.forget()
    if (Notification?.permission === 'granted') this.#start(true)
  }

  /** Rejects if the module does not load, as without a network. The next call tries again. */
  async #load(): Promise<Push> {
    const { Push } = await import('./push.ts')
    this.#push ??= new Push(this, this.events)
    return this.#push
  }

  #start(ends = false): void {
    this.#load().then(
      (push) => ends && push.end(),
      () => {}
    )
  }
}
