const SPACE = 0x20
const WAKE = 0x77
const KICK = 0x6b
const BUNDLE = 0x6d

/** A hint that a user's log grew. `row` is undefined if it is too long to travel in the message. */
export interface WakeMessage {
  user: string
  epoch: string
  offset: number
  row: Buffer | undefined
}

/** An order to close connections of a user: one, or all if `connectionId` is undefined. */
export interface KickMessage {
  user: string
  connectionId: string | undefined
  reason: string
  revoked: boolean
  displaced?: true
}

/** Receives messages one by one, each with its counter. */
export interface MessageReader {
  onWake(counter: number, wake: WakeMessage): void
  onKick(counter: number, kick: KickMessage): void
}

/**
 * Reads what arrived on the bus: a single message, or `m` and several messages, each as `<length> <message>`. Ignores text in any other format:
 * on NATS, others may publish, too.
 */
export function readMessages(data: Buffer, reader: MessageReader): void {
  if (data[0] !== BUNDLE) return readOne(data, reader)
  for (let at = 1; at < data.length; ) {
    const start = data.indexOf(SPACE, at) + 1
    const end = start + Number(data.toString('latin1', at, start - 1))
    if (!(end > at)) return
    readOne(data.subarray(start, end), reader)
    at = end
  }
}

/** Reads a message in the format of `prelude-wake.lua`. */
function readOne(message: Buffer, reader: MessageReader): void {
  const counterEnd = message.indexOf(SPACE)
  const firstEnd = message.indexOf(SPACE, counterEnd + 1)
  const secondEnd = message.indexOf(SPACE, firstEnd + 1)
  const lengthEnd = message.indexOf(SPACE, secondEnd + 1)
  const first = message.toString('latin1', counterEnd + 1, firstEnd)
  const second = message.toString('utf8', firstEnd + 1, secondEnd)
  const userEnd = lengthEnd + 1 + Number(message.toString('latin1', secondEnd + 1, lengthEnd))
  const user = message.toString('utf8', lengthEnd + 1, userEnd)
  const counter = Number(message.toString('latin1', 1, counterEnd))
  if (lengthEnd < 0 || !Number.isSafeInteger(counter) || !Number.isSafeInteger(userEnd)) return
  if (message[0] === WAKE) {
    const offset = Number(first)
    const row = userEnd < message.length ? message.subarray(userEnd) : undefined
    if (Number.isSafeInteger(offset)) reader.onWake(counter, { user, epoch: second, offset, row })
    return
  }
  if (message[0] !== KICK) return
  const connectionId = second === '*' ? undefined : second
  const kick = { user, connectionId, reason: message.toString('utf8', userEnd), revoked: first === '1' }
  reader.onKick(counter, first === '2' ? { ...kick, displaced: true } : kick)
}
