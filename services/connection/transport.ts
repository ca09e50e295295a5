import type { ByeFrame, Position } from '../protocol/index.ts'
import type { Frame } from './frames.ts'

/** The sender over a transport. */
export interface TransportOwner {
  /** The newest row given to the transport so far. */
  readonly sent: Position

  /** Called when the network reported as written every byte up to and with the row at this position. */
  written(through: Position): void
}

/**
 * The network side of a connection. No method throws; after `close` every call is ignored.
 */
export interface Transport {
  owner: TransportOwner | undefined

  /** Takes a frame for the network. The frames of one turn of the event loop leave in one write, in order. */
  send(frame: Frame): void

  /** Sends the `ping` frame, and what keeps a silent network path open: a control frame or a comment. */
  ping(frame: Frame): void

  /** Writes what was taken now, not at the end of the turn. */
  flush(): void

  /** Starts to read the client's frames. Until then they wait in the network. */
  listen(): void

  /** Sends `bye`, then closes with its code and reason. */
  close(bye: ByeFrame): void

  /** The client cannot answer: bytes the network took count as received. */
  readonly oneWay: boolean

  /** Bytes held for the network. 0: every byte was handed over. */
  readonly buffered: number

  /** Bytes the network took so far. If this stands still while some are `buffered`, the peer takes nothing. */
  readonly taken: number
}
