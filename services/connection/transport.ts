import type { Frame } from './frames.ts'

/** Who sends over a transport. */
export interface TransportOwner {
  handedOver(): void
}

/**
 * The network side of a connection. Nothing here throws; after `close` or `terminate` everything is ignored.
 */
export interface Transport {
  /** Told when the network has taken everything that was sent. */
  owner: TransportOwner | undefined

  /** Takes a frame for the network. The frames of one turn of the event loop leave in one write, in order. */
  send(frame: Frame): void

  /** Sends what makes a live peer answer: a control frame where there is one, and the `ping` frame given. */
  ping(frame: Frame): void

  /** Sends what was taken, then closes with the code and the reason. */
  close(code: number, reason: string): void

  /** Lets go of the peer at once. */
  terminate(): void

  /** The client cannot answer: what was handed over counts as received, and as a sign of life. */
  readonly oneWay: boolean

  /** Bytes taken that the network did not take yet; 0: everything was handed over. */
  readonly buffered: number

  /** Bytes the network took so far. While some are `buffered`, a peer for whom this stands still takes nothing. */
  readonly taken: number
}
