import type { IncomingMessage } from 'node:http'

/** Hosts to listen on that only this machine can reach. */
const HOSTS = ['127.0.0.1', '::1', 'localhost']

const PEER = /^(?:(?:::ffff:)?127\.\d+\.\d+\.\d+|::1)$/
const AUTHORITY = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/i
/** Headers that proxies add. */
const FORWARDED = /^(?:forwarded|x-forwarded-.*|x-real-ip|via)$/

/** Addresses whose services a browser on this machine reaches as `localhost`. */
const NAMED_LOCALHOST = ['0.0.0.0', '::', '127.0.0.1']

/** Returns the origin at which this machine reaches a service that listens on an address or a name. */
export function localOrigin(host: string, port: number): string {
  if (NAMED_LOCALHOST.includes(host)) return `http://localhost:${port}`
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Returns true if only this machine can reach a service that listens on the host. */
export function isLoopback(host: string): boolean {
  return HOSTS.includes(host)
}

/** Returns true if the host of a URL is this machine. */
export function isLoopbackHost(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

/**
 * Returns true if the request comes from this machine: from a loopback address, for a loopback name (any other may be a foreign site whose name
 * resolves to this machine, DNS rebinding), not from a page of another origin, and without the headers of a proxy.
 */
export function isFromThisMachine({ socket, headers }: IncomingMessage): boolean {
  const { host = '', origin } = headers
  return (
    PEER.test(socket.remoteAddress ?? '') &&
    AUTHORITY.test(host) &&
    (origin === undefined || origin === `http://${host}`) &&
    !Object.keys(headers).some((name) => FORWARDED.test(name))
  )
}
