import type { LeasedCall } from '../store/store.ts'
import type { OutgoingRequest } from './http-sender.ts'
import type { Attempt, Outcome } from './outcome.ts'

/** Turns calls of one kind into requests, and the answers of their receivers into outcomes. */
export interface CallFormat<Call extends LeasedCall = LeasedCall> {
  /** Resolves with the request of an attempt; with undefined if the call must not be sent any more. */
  request(call: Call): Promise<OutgoingRequest | undefined>
  outcome(attempt: Attempt, call: Call): Outcome
}
