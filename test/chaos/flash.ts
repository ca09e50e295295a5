import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { signToken } from '../../services/auth/signing.ts'
import { SECRET } from './world.ts'

const TIMEOUT_MS = 3000

/**
 * Opens a WebSocket and resets its connection.
 *
 * @param answered true: after the answer to the upgrade; false: as soon as the request was sent
 */
export async function flash(port: number, user: string, answered: boolean): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' })
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => undefined)
  const lines = [
    'GET /v1/ws HTTP/1.1',
    'Host: 127.0.0.1',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    `Sec-WebSocket-Protocol: belfry.v1, bearer.${signToken(SECRET, user)}`
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`, () => {
    if (!answered) socket.resetAndDestroy()
  })
  socket.once('data', () => socket.resetAndDestroy())
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy())
  await closed
}
