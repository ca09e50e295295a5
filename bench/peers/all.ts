import { signToken } from '../../services/auth/signing.ts'
import { nchan } from './nchan.ts'
import type { Peer } from './peer.ts'
import { startPrograms } from './programs.ts'

const SECRET = 'a secret of the benchmark, and long enough'

/** Token by user. Signing a token costs more than sending a message, so each token is signed once. */
const tokens = new Map<string, string>()

function tokenOf(user: string): string {
  const known = tokens.get(user)
  if (known !== undefined) return known
  const token = signToken(SECRET, user)
  tokens.set(user, token)
  return token
}

const environment = { JWT_SECRET: SECRET, LOG_LEVEL: 'warn', CONNECT_RATE_LIMIT_MAX: '0' }

/** The token that publishes to Belfry. */
export const publisherToken = signToken(SECRET, 'bench', 'publish')

export const belfry: Peer = {
  name: 'belfry',
  label: 'Belfry',
  headers: `Authorization: Bearer ${publisherToken}\r\n`,
  greeting: '',
  ready: '{"type":"caughtUp"',
  doubles: false,
  missing: async () => undefined,
  start: (options) => startPrograms(belfry, { script: 'server.js', environment, probe: '/health/ready' }, options),
  target: (port, user) => ({ port, path: '/v1/ws', token: tokenOf(user) }),
  publishPath: () => '/v1/notifications'
}

/** Path of Belfry's batch endpoint. */
export const BATCH_PATH = '/v1/notifications/batch'

export const bare: Peer = {
  name: 'bare',
  label: 'no-feature ws + ioredis',
  headers: '',
  greeting: '',
  ready: '{"type":"ready"}',
  doubles: false,
  missing: async () => undefined,
  start: (options) => startPrograms(bare, { script: 'bench/peers/bare.js' }, options),
  target: (port, user) => ({ port, path: `/?user=${user}` }),
  publishPath: () => '/'
}

export const pattern: Peer = {
  ...bare,
  name: 'pattern',
  label: 'the pattern (Express + ws)',
  doubles: true,
  start: (options) => startPrograms(pattern, { script: 'bench/peers/pattern.js' }, options),
  publishPath: () => '/notify'
}

function socketio(adapter: 'redis' | 'streams'): Peer {
  const peer: Peer = {
    ...bare,
    name: `socketio-${adapter}`,
    label: `Socket.IO, ${adapter} adapter`,
    greeting: '40',
    ready: '40',
    start: (options) => startPrograms(peer, { script: 'bench/peers/socketio.js', args: [adapter] }, options),
    target: (port, user) => ({ port, path: `/socket.io/?EIO=4&transport=websocket&user=${user}` })
  }
  return peer
}

/** All programs that are compared with Belfry. */
export const others: readonly Peer[] = [bare, pattern, socketio('redis'), socketio('streams'), nchan]
