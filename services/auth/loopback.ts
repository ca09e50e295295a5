import type { IncomingMessage } from 'node:http'

/** Addresses to listen on that only this machine reaches. */
const HOSTS = ['127.0.0.1', '::1', 'localhost']

const PEER = /^(?:(?:::ffff:)?127\.\d+\.\d+\.\d+|::1)$/
const AUTHORITY = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i
/** What proxies add. */
const FORWARDED = /^(?:forwarded|x-forwarded-.*|x-real-ip|via)$/

/** Addresses whose services a browser on this machine reaches as `localhost`. */
const NAMED_LOCALHOST = ['0.0.0.0', '::', '127.0.0.1']

/** Returns the origin at which this machine reaches a service that listens on an address or a name. */
export function localOrigin(host: string, port: number): string {
  if (NAMED_LOCALHOST.includes(host)) return `http://localhost:${port}`
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Whether only this machine reaches who listens there. */
export function isLoopback(host: string): boolean {
  return HOSTS.includes(host)
}

/**
 * Whether somebody at this machine made the request: from a loopback address, for a loopback name (another would be a page elsewhere whose name
 * was made to resolve to here), not from a page of another origin, and through no proxy that shows itself.
 */
export function madeHere({ socket, headers }: IncomingMessage): boolean {
  const { host = '', origin } = headers
  return (
    PEER.test(socket.remoteAddress ?? '') &&
    AUTHORITY.test(host) &&
    (origin === undefined || origin === `http://${host}`) &&
    !Object.keys(headers).some((name) => FORWARDED.test(name))
  )
}
