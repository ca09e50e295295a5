import { setTimeout as pause } from 'node:timers/promises'
import type { CallReceiver, Illness } from './call-receiver.ts'
import type { Fault } from './schedule.ts'
import type { World } from './world.ts'

/** Longest time between the lease of a call and its attempt, and the longest attempt, milliseconds. */
const CALL_DELAY_MS = 25_000
/** Time in which a node connects to a receiver that is back, milliseconds. */
const CONNECT_MS = 1000

/** The faults of the receiver of calls, one at a time. Each resolves with false if another one occupies the receiver. */
export class ReceiverFaults {
  readonly #world: World
  #isBusy = false

  constructor(world: World) {
    this.#world = world
  }

  kill(fault: Fault): Promise<boolean> {
    return this.#act(fault, CONNECT_MS, (receiver) => receiver.kill(fault.ms))
  }

  sicken(fault: Fault, illness: Illness): Promise<boolean> {
    return this.#act(fault, illness === 'hanging' ? CALL_DELAY_MS : 0, async (receiver) => {
      receiver.illness = illness
      await pause(fault.ms)
      receiver.illness = 'none'
    })
  }

  async #act({ kind }: Fault, afterMs: number, act: (receiver: CallReceiver) => Promise<void>): Promise<boolean> {
    if (this.#isBusy) return false
    this.#isBusy = true
    const over = this.#world.callWindow(kind, afterMs)
    try {
      await act(this.#world.receiver)
    } finally {
      this.#isBusy = false
      over()
    }
    return true
  }
}
