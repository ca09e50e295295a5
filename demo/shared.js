/** The address of the service. The page is at <service>/demo or below. */
export const service = new URL(location.pathname.replace(/\/demo(\/.*)?$/, '/'), location.href).href.replace(/\/$/, '')

const TOKEN_KEY = 'belfry-demo-token'
/** Attempts of a call that may be repeated, and the time between two, milliseconds. */
const ATTEMPTS = 40
const PAUSE_MS = 250

/** Sends a POST to the demo's routes. Resolves with the answer's body. */
export async function post(path, body, send = fetch) {
  const reply = await send(`${service}/demo/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  if (reply.status === 204) return undefined
  const answer = await reply.json().catch(() => ({}))
  if (!reply.ok) throw Object.assign(new Error(answer.detail ?? `the service answered ${reply.status}`), { status: reply.status })
  return answer
}

/** Publishes one notification, and repeats the call while no node answers. The idempotency key makes sure that it arrives once. */
export async function publish(body, path = 'publish') {
  const key = crypto.randomUUID()
  for (let attempt = 1; ; attempt++) {
    try {
      return await post(path, { ...body, key })
    } catch (error) {
      const mayRepeat = error.status === undefined || error.status >= 502
      if (!mayRepeat || attempt === ATTEMPTS) throw error
      await pause(PAUSE_MS)
    }
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Returns tokens for a user; undefined if the service signs none for pages, so that the user must paste one. */
export async function session(user, send = fetch) {
  try {
    return await post('session', { user }, send)
  } catch (error) {
    if (error.status === 404) return undefined
    throw error
  }
}

export const pasted = {
  get: () => sessionStorage.getItem(TOKEN_KEY) ?? '',
  set: (token) => sessionStorage.setItem(TOKEN_KEY, token)
}

/** Returns the number of parked notifications and of connections of a user, and whether the inbox is empty; undefined if no node answers. */
export async function stateOf(user) {
  const reply = await fetch(`${service}/demo/users/${encodeURIComponent(user)}`).catch(() => undefined)
  return reply?.ok ? await reply.json() : undefined
}

/** Returns the channel between the page and its screens. `room` is the name of the page, so that two open pages do not mix. */
export const busOf = (room) => new BroadcastChannel(`belfry-demo-${room}`)
