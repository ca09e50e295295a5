import { closeCodes } from '../protocol/index.ts'
import { userHash } from '../users.ts'

/** The part of a logger that the log of connections uses. */
interface Logger {
  level: string
  debug(facts: object, message: string): void
  info(facts: object, message: string): void
}

/** The facts of a connection that are logged. */
interface LoggedConnection {
  readonly local: { readonly user: string }
  readonly deviceId: string
  readonly connectionId: string
  readonly connectedAt: number
}

/** Levels at which lines of `debug` are written. */
const DEBUG_LEVELS = ['debug', 'trace']

/**
 * Close codes of faults: the peer broke the protocol (1002, 1007, 1009, 4006), sent too many frames (4102), read or answered nothing (4104, 4201),
 * or this node failed (4100, 4101, 4103, 4203).
 */
const FAULTS = [1002, 1007, 1009, 4006, 4100, 4101, 4102, 4103, 4104, 4201, 4203]

/** Logs the beginning and the end of connections at `debug`, and ends that are faults at `info`. Users are named by their hash. */
export class ConnectionLog {
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  opened(connection: LoggedConnection): void {
    if (DEBUG_LEVELS.includes(this.#log.level)) this.#log.debug(facts(connection), 'a device connected')
  }

  /** @param reason as in the close frame; '' if the peer or the network ended the connection */
  closed(connection: LoggedConnection, code: number, reason: string): void {
    const isFault = FAULTS.includes(code)
    if (!isFault && !DEBUG_LEVELS.includes(this.#log.level)) return
    // An operator's reason is free text, which may name a person.
    const isFreeText = reason === '' || code === closeCodes.disconnected.code
    const line = { ...facts(connection), code, ...(isFreeText ? {} : { reason }), openMs: Date.now() - connection.connectedAt }
    if (isFault) this.#log.info(line, 'a connection was closed for a fault')
    else this.#log.debug(line, 'a connection was closed')
  }
}

function facts({ local, deviceId, connectionId }: LoggedConnection): object {
  return { user: userHash(local.user), device: deviceId, connection: connectionId }
}
