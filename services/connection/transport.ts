import type { ByeFrame, Position } from '../protocol/index.ts'
import type { Frame } from './frames.ts'

/** The connection that sends over a transport. */
export interface TransportOwner {
  /** The newest row passed to the transport. */
  readonly sent: Position

  /** Called when the network reported every byte up to and with the row at this position as written. */
  written(through: Position): void
}

/** The network side of a connection. No method throws. After `close` every call is ignored. */
export interface Transport {
  owner: TransportOwner | undefined

  /** Takes a frame for the network. The frames of one turn of the event loop are written together, in order. */
  send(frame: Frame): void

  /** Sends the `ping` frame, and with it a control frame or a comment, which keeps an idle network path open. */
  ping(frame: Frame): void

  /** Writes the frames taken so far now, not at the end of the turn. */
  flush(): void

  /** Starts to read the client's frames. Until then they wait in the network. */
  listen(): void

  /** Sends `bye`, then closes with its code and reason. */
  close(bye: ByeFrame): void

  /** The client cannot answer: bytes that the network took count as received. */
  readonly isOneWay: boolean

  /** Bytes waiting for the network. 0: every byte was handed over. */
  readonly buffered: number

  /** Bytes that the network took so far. If this number stays the same while bytes are `buffered`, the peer reads nothing. */
  readonly bytesTaken: number
}
