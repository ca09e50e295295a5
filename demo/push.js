import { page, run, say, sayUntilNext } from './claims.js'
import { Belfry } from './client/index.js'
import { pause, publish, service, session, stateOf } from './shared.js'

const $ = (id) => document.getElementById(id)

/** Time between the closing of the screens and the notification: enough to close the tab, or to look elsewhere. */
const SENT_AFTER_MS = 5000
const CLOSING_MS = 8000
const RESULT_MS = 20_000
const POLL_MS = 250

const CONTENT = { type: 'order.paid', title: 'Order 2045 is paid', data: { body: 'Every screen was closed, and it reached you.' } }

/** Number and note of each state of push, besides `on`. */
const STATES = {
  unconfigured: [
    'Push is not configured',
    'This service has no VAPID keys: `npx belfry vapid` prints a pair. With the embedded store they are made by themselves.'
  ],
  unsupported: [
    'No Web Push here',
    'This browser has none, or none in a private window. Chrome, Edge and Firefox have it; Safari on an iPhone, for apps on the home screen.'
  ],
  denied: ['Notifications are blocked', 'Allow them for this page: at the icon before its address, or in the settings of the browser.'],
  off: ['Push is off', 'Switch it on: the browser asks whether this page may show notifications.'],
  on: ['Push is on', 'With every screen closed, the browser shows the notification. Try it with this tab closed, too.']
}

/** What a receipt says about a push that its push service did not take. */
const FAILURES = {
  gone: 'The browser has ended the subscription. Switch push off and on.',
  failed: 'The push service refused it. Apple does, as long as VAPID_SUBJECT is no real contact.',
  dropped: 'A device had received it before: a screen is open somewhere.'
}

/**
 * The claim "Close every screen, then send".
 *
 * @param host `user`; `close()` and `open()` of the screens; `count(ids)` returns how many devices have the notifications, how many there are, and
 * how many of the notifications were shown twice; `until(test)` waits for the screens; `show()` shows the code
 */
export class PushClaim {
  #host
  #belfry
  /** A state that the SDK does not know: `unconfigured`; '' otherwise. */
  #other = ''
  /** Ids of notifications that were sent while the screens were closed. */
  #sent = []
  /** Times at which the worker has shown notifications, by id. */
  #shownAtById = new Map()

  constructor(host) {
    this.#host = host
    $('push-on').addEventListener('click', () => run([$('push-on')], () => this.#switchOn()))
    $('push-off').addEventListener('click', () => run([$('push-off')], () => this.#belfry.disablePush()))
    $('close-all').addEventListener('click', () => run([$('close-all')], () => this.#closeAndSend(sayUntilNext('push'))))
    $('open-all').addEventListener('click', () => run([$('open-all')], () => this.#openAll(sayUntilNext('push'))))
  }

  /** Finds out the state of push. The client of this claim never connects: it would be a screen. */
  async start() {
    const { user } = this.#host
    const key = await fetch(`${service}/v1/push/key`)
    if (key.status === 404) this.#other = 'unconfigured'
    this.#belfry = new Belfry(service, { getToken: async () => (await session(user))?.token })
    new BroadcastChannel('belfry-demo-push').onmessage = ({ data: { id, at } }) => this.#shownAtById.set(id, at)
    this.#belfry.on('push', () => this.#render())
    this.#belfry.on('pushClick', (click) => this.#clicked(click))
    this.#render()
  }

  get #state() {
    return this.#other === '' ? this.#belfry.push : this.#other
  }

  #render() {
    const state = this.#state
    $('push-on').hidden = state !== 'off'
    $('push-off').hidden = state !== 'on' || page.isClosed
    $('close-all').hidden = state !== 'on' || page.isClosed
    $('open-all').hidden = !page.isClosed
    if (!page.isClosed) say('push', ...STATES[state], state === 'on' ? 'good' : '')
  }

  async #switchOn() {
    try {
      // First, while the browser remembers the press of the button.
      await Notification.requestPermission()
      // The page itself is not below the folder of the worker. The service allows this scope.
      const serviceWorker = await navigator.serviceWorker.register('demo/sw.js', { scope: 'demo' })
      const state = await this.#belfry.enablePush({ serviceWorker })
      this.#render()
      if (state === 'off') say('push', 'Push is off', 'The browser asked and got no answer: press the button again.')
    } catch ({ message }) {
      const why = 'A browser needs the push service of its vendor: it may be switched off or blocked, and a private window has none.'
      say('push', 'The browser did not subscribe', `${message}. ${why}`)
    }
  }

  async #closeAndSend(tell) {
    const { user, close, show } = this.#host
    close()
    this.#render()
    const open = await this.#untilClosed(tell)
    if (open > 0) {
      const note = `${user} has a screen in another window. Close it: a device that receives a notification needs no push.`
      return tell(`${open} connections are still open`, note)
    }
    const deliverAt = Date.now() + SENT_AFTER_MS
    const ref = `${new URL(service).pathname.replace(/\/$/, '')}/demo?${new URLSearchParams({ user })}`
    show()
    const { ids } = await publish({ user, ...CONTENT, ref, deliverAt, push: { after: 0 } })
    this.#sent.push(...ids)
    for (let left = deliverAt - Date.now(); left > 0 && page.isClosed; left = deliverAt - Date.now()) {
      const note = 'The service sends it by itself. Look elsewhere, or close this tab: the desktop notification comes all the same.'
      tell(`0 connections, sent in ${Math.ceil(left / 1000)} s`, note, 'wait')
      await pause(Math.min(POLL_MS, left))
    }
    await this.#result(tell, ids[0], deliverAt)
  }

  /** Resolves with the connections that are left, which are 0 unless a screen is open elsewhere. */
  async #untilClosed(tell) {
    const end = Date.now() + CLOSING_MS
    for (;;) {
      const { connections } = (await stateOf(this.#host.user)) ?? { connections: 1 }
      if (connections === 0 || Date.now() > end) return connections
      tell(`${connections} connections are closing`, 'The service counts them, on every node.', 'wait')
      await pause(POLL_MS)
    }
  }

  /** Says what became of the push: when the push service took it, and whether the worker has shown it. */
  async #result(tell, id, deliverAt) {
    const { publisher } = await session(this.#host.user)
    const end = Date.now() + RESULT_MS
    tell('0 connections, sent', 'The push service of the browser is asked to bring it.', 'wait')
    let isPushed = false
    while (page.isClosed && Date.now() < end) {
      const { status, at } = (await this.#receipt(id, publisher)) ?? {}
      if (status in FAILURES) return tell('The push was not sent', FAILURES[status])
      const shownAt = this.#shownAtById.get(id)
      if (shownAt !== undefined) {
        const note = 'From the time when it was due to the notification on this desktop. Click it: the screens come back.'
        return tell(`0 connections, shown in ${Math.max(1, shownAt - deliverAt)} ms`, note, 'good')
      }
      isPushed = status === 'sent'
      if (isPushed) {
        const note = 'The push service of the browser has it, and brings it to the service worker.'
        tell(`0 connections, pushed in ${Math.max(1, at - deliverAt)} ms`, note, 'wait')
      }
      await pause(POLL_MS)
    }
    if (page.isClosed && !isPushed) tell('The push service does not answer', 'The service tries again. Its log says why.')
  }

  /** Resolves with the outcome of the push to this browser; undefined while there is none, or no node answers. */
  async #receipt(id, token) {
    const path = `/v1/users/${encodeURIComponent(this.#host.user)}/notifications/${encodeURIComponent(id)}/receipts`
    const reply = await fetch(`${service}${path}`, { headers: { authorization: `Bearer ${token}` } }).catch(() => undefined)
    return reply?.ok ? (await reply.json()).push.find(({ deviceId }) => deviceId === this.#belfry.deviceId) : undefined
  }

  #clicked(click) {
    click.preventDefault()
    if (page.isClosed) run([$('open-all')], () => this.#openAll(sayUntilNext('push')))
  }

  /** Opens the screens, and says how many devices have what was sent while they were closed. */
  async #openAll(tell) {
    const { open, count, until } = this.#host
    const ids = this.#sent.splice(0)
    open()
    this.#render()
    if (ids.length === 0) return
    await until(() => {
      const { devices, all, twice } = count(ids)
      const note = 'Each device resumes after the last row that it had.'
      tell(`${devices} of ${all} devices have it, ${twice} twice`, note, devices === all ? 'good' : 'wait')
      return devices === all
    })
  }
}
