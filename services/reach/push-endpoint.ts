import { isLoopbackHost } from '../auth/loopback.ts'

/** Longest endpoint, characters. Those of known push services have 100 to 700. */
const MAX_LENGTH = 2048

/** Characters that parsers of URLs read in different ways. */
const AMBIGUOUS = /[\s\\\p{C}]/u

/** A known push service: all hosts of a domain, or one host. */
interface KnownService {
  lane: string
  has: (hostname: string) => boolean
}

const inDomain = (domain: string) => (hostname: string) => hostname.endsWith(`.${domain}`)

/** FCM is that of Chrome, Edge on Android and Opera, the others are those of Firefox, Safari and Edge. */
const KNOWN_SERVICES: KnownService[] = [
  { lane: 'fcm', has: (hostname) => hostname === 'fcm.googleapis.com' },
  { lane: 'mozilla', has: inDomain('push.services.mozilla.com') },
  { lane: 'apple', has: inDomain('push.apple.com') },
  { lane: 'windows', has: inDomain('notify.windows.com') }
]

/** An endpoint to which pushes may be sent. */
interface AcceptedEndpoint {
  /** The endpoint in its normal form. Only this form may be stored: parsers of URLs differ on the others. */
  url: string
  /** The lane of its push service in the store's outbox. */
  lane: string
}

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

  /** The lanes of all endpoints that are accepted. */
  get lanes(): string[] {
    return [...KNOWN_SERVICES.map(({ lane }) => lane), ...this.#origins]
  }

  /** Returns the endpoint if pushes may be sent to it; else undefined. */
  accept(endpoint: string): AcceptedEndpoint | undefined {
    if (endpoint.length > MAX_LENGTH || AMBIGUOUS.test(endpoint) || !URL.canParse(endpoint)) return undefined
    const url = new URL(endpoint)
    const { username, password, hash, href, origin } = url
    if (username !== '' || password !== '' || hash !== '' || href.length > MAX_LENGTH) return undefined
    const lane = this.#origins.has(origin) ? origin : knownLaneOf(url)
    return lane === undefined ? undefined : { url: href, lane }
  }
}

/** Returns the lane of a known push service; undefined unless the address is https at the default port. */
function knownLaneOf({ protocol, hostname, port }: URL): string | undefined {
  if (protocol !== 'https:' || port !== '') return undefined
  return KNOWN_SERVICES.find(({ has }) => has(hostname))?.lane
}

/** Returns true for an origin that `PUSH_ENDPOINTS` may name: https, or http to this machine. */
export function isPushOrigin(origin: string): boolean {
  if (!URL.canParse(origin)) return false
  const { protocol, hostname, host } = new URL(origin)
  const isAllowed = protocol === 'https:' || (protocol === 'http:' && isLoopbackHost(hostname))
  return isAllowed && `${protocol}//${host}` === origin.toLowerCase()
}
