import { Belfry } from './client/index.js'

/** The address of the service. The page is at <service>/demo or below. */
export const service = new URL(location.pathname.replace(/\/demo(\/.*)?$/, '/'), location.href).href.replace(/\/$/, '')

const TOKEN_KEY = 'belfry-demo-token'

export async function post(path, body) {
  const reply = await fetch(`${service}/demo/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  if (reply.status === 204) return undefined
  const answer = await reply.json().catch(() => ({}))
  if (!reply.ok) throw Object.assign(new Error(answer.detail ?? `the service answered ${reply.status}`), { status: reply.status })
  return answer
}

/** Returns tokens for a user; undefined if the service signs none for pages, so that the user must paste one. */
export async function session(user) {
  try {
    return await post('session', { user })
  } catch (error) {
    if (error.status === 404) return undefined
    throw error
  }
}

export const pasted = {
  get: () => sessionStorage.getItem(TOKEN_KEY) ?? '',
  set: (token) => sessionStorage.setItem(TOKEN_KEY, token)
}

/** Carries the frames of every screen to the page that shows them. */
export const frames = new BroadcastChannel('belfry-demo-frames')

/**
 * Returns a client that posts its frames to `frames`.
 *
 * @param options `deviceId` for another device; by default the client is a tab of this browser
 */
export function clientOf(user, screen, options = {}) {
  const tell = (direction, text) => {
    const frame = { user, screen, direction, text, at: Date.now() }
    frames.postMessage(frame)
    dispatchEvent(new CustomEvent('frame', { detail: frame }))
  }
  class TellingWebSocket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols)
      this.addEventListener('message', ({ data }) => tell('in', data))
      this.addEventListener('close', ({ code, reason }) => tell('end', `closed ${code} ${reason}`.trim()))
    }

    send(data) {
      tell('out', data)
      super.send(data)
    }
  }
  const getToken = async () => (await session(user))?.token ?? pasted.get()
  return new Belfry(service, { getToken, WebSocket: TellingWebSocket, ...options })
}

/** Returns the milliseconds since the click that sent the notification; undefined for one of a burst, and for other publishers. */
export function tripOf({ notification: { data }, replay }) {
  return !replay && typeof data?.sentAt === 'number' ? Math.max(0, Date.now() - data.sentAt) : undefined
}

/** Returns the age in words; '' for a timestamp that no `Date` can hold. */
export function age(timestamp) {
  if (Number.isNaN(new Date(timestamp).getTime())) return ''
  const seconds = Math.max(0, Math.round((Date.now() - timestamp) / 1000))
  return seconds < 5
    ? 'now'
    : seconds < 60
      ? `${seconds} s`
      : seconds < 3600
        ? `${Math.floor(seconds / 60)} min`
        : `${Math.floor(seconds / 3600)} h`
}
