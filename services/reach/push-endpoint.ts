import { isLoopbackHost } from '../auth/loopback.ts'

/** Longest endpoint, characters. Those of known push services have 100 to 700. */
const MAX_LENGTH = 2048

/** Characters that parsers of URLs read in different ways. */
const AMBIGUOUS = /[\s\\\p{C}]/u

/** Hosts of push services: FCM (Chrome, Edge on Android, Opera). */
const HOSTS = ['fcm.googleapis.com']

/** Domains whose hosts are push services: Mozilla (Firefox), Apple (Safari), Windows (Edge). */
const DOMAINS = ['push.services.mozilla.com', 'push.apple.com', 'notify.windows.com']

/**
 * Decides to which addresses this node sends pushes. An endpoint is a URL that a client chose: without this check, any user could make the node
 * send requests to hosts of its own network.
 */
export class PushEndpoints {
  readonly #origins: Set<string>

  /** @param origins further origins to accept, as `PUSH_ENDPOINTS` */
  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins.map((origin) => new URL(origin).origin))
  }

  /**
   * Returns the endpoint in its normal form, or undefined if pushes must not be sent to it. Only the normal form may be stored: parsers of URLs
   * differ on the others.
   */
  accept(endpoint: string): string | undefined {
    if (endpoint.length > MAX_LENGTH || AMBIGUOUS.test(endpoint) || !URL.canParse(endpoint)) return undefined
    const url = new URL(endpoint)
    const { username, password, hash, href, origin } = url
    if (username !== '' || password !== '' || hash !== '' || href.length > MAX_LENGTH) return undefined
    return this.#origins.has(origin) || isKnownService(url) ? href : undefined
  }
}

/** Returns true for a host of a known push service, by https at its default port. */
function isKnownService({ protocol, hostname, port }: URL): boolean {
  if (protocol !== 'https:' || port !== '') return false
  return HOSTS.includes(hostname) || DOMAINS.some((domain) => hostname.endsWith(`.${domain}`))
}

/** Returns true for an origin that `PUSH_ENDPOINTS` may name: https, or http to this machine. */
export function isPushOrigin(origin: string): boolean {
  if (!URL.canParse(origin)) return false
  const { protocol, hostname, host } = new URL(origin)
  const isAllowed = protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(hostname))
  return isAllowed && `${protocol}//${host}` === origin.toLowerCase()
}
