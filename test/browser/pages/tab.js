import { Belfry } from './client/index.js'

const { searchParams } = new URL(location.href)
const user = searchParams.get('user')
const service = searchParams.get('service')

/**
 * Toasts raised by all tabs of the browser. Kept in storage, which survives the tab: a message that a tab has just posted or sent is lost
 * when the tab closes, although the toast was raised.
 */
const raise = (id) => localStorage.setItem(`toast ${id} ${crypto.randomUUID()}`, String(Date.now()))
globalThis.raised = () => {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith('toast '))
  return keys.sort((a, b) => localStorage.getItem(a) - localStorage.getItem(b)).map((key) => key.split(' ')[1])
}

/** Blocks the page for good. */
globalThis.hold = () => {
  const request = new XMLHttpRequest()
  request.open('GET', '/hold', false)
  request.send()
}

/** Notifications shown by this tab, also before a reload. */
globalThis.shown = () => JSON.parse(sessionStorage.getItem('shown') ?? '[]')

const getToken = async () => (await fetch(`/token?user=${user}`, { cache: 'no-store' })).text()

/**
 * A client that records its events, and counts its attempts to connect. A client with an event stream also tries a WebSocket beside it, after a
 * random wait: such a trial does not count.
 */
globalThis.follow = (options = {}) => {
  const heard = { ids: [], titles: [], users: [], toasts: [], gaps: [], transports: [], attempts: 0, terminal: undefined, leadsAt: 0 }
  const { address, ...given } = options
  class CountedWebSocket extends WebSocket {
    constructor(url, protocols) {
      if (belfry.state === 'connecting') heard.attempts++
      super(address ?? url, protocols)
    }
  }
  const belfry = new Belfry(service, { getToken, WebSocket: CountedWebSocket, ...given })
  belfry.on('notification', ({ notification }) => {
    heard.ids.push(notification.id)
    heard.titles.push(notification.title)
    sessionStorage.setItem('shown', JSON.stringify([...globalThis.shown(), notification.id]))
  })
  belfry.on('toast', ({ notification, count, ids = [notification.id] }) => {
    heard.toasts.push({ id: notification.id, count })
    for (const id of ids) raise(id)
  })
  belfry.on('user', (ctx) => heard.users.push(ctx))
  belfry.on('gap', (ctx) => heard.gaps.push(ctx.reason))
  belfry.on('transport', ({ transport }) => heard.transports.push(transport))
  belfry.on('terminal', (ctx) => {
    heard.terminal = ctx
  })
  belfry.on('state', ({ state }) => {
    if (state === 'connected' && belfry.leader) heard.leadsAt ||= Date.now()
  })
  belfry.connect()
  return { belfry, heard }
}

/** Number of returns from the back/forward cache. */
globalThis.restored = 0
addEventListener('pageshow', ({ persisted }) => {
  if (persisted) globalThis.restored++
})

if (!searchParams.has('idle')) globalThis.tab = follow()
globalThis.loaded = true
