import { run, say, sayUntilNext } from './claims.js'
import { pause, post, publish, service, session } from './shared.js'

const $ = (id) => document.getElementById(id)

const POLL_MS = 500
const ROWS_KEPT = 50
/** Characters of a `webhook-id` in its row. */
const ID_SHOWN = 12
/** Time that a user has to read a notification before the webhook goes out. */
export const FALLBACK_SECONDS = 5
/** Time at which the page reads a notification, and time after the due one in which a webhook would have come, milliseconds. */
const READ_MS = 1500
const QUIET_MS = 2000
const EXPIRES_SECONDS = 2
const WAIT_MS = 30_000
/** A user who has no device: what is sent to him expires without having been received. */
const NOBODY = 'frank'

/** What the panel says if the webhooks of the service do not come here. */
const ELSEWHERE = {
  elsewhere: ['They go to your receiver', 'This service has a WEBHOOK_URL. `npx belfry webhook` is a receiver that prints them.'],
  none: ['No webhooks here', 'This service has no WEBHOOK_URL. `npx belfry webhook` is a receiver that prints them.']
}

const words = {
  'notification.fallback': ({ notification, state }) => `“${notification?.title}” is ${state}`,
  'notification.answered': ({ action, deviceId }) => `${action}, by ${/^(phone|office)-/.exec(deviceId)?.[1] ?? 'the laptop'}`,
  'notification.expired': ({ type }) => `${type}, received by no device`,
  'user.online': () => 'the first screen is there',
  'user.offline': () => 'no screen is left'
}

/** Returns a body as an event; an empty one if it is no JSON, as a forged one may be. */
function eventOf(body) {
  try {
    const { type = '', timestamp = '', data = {} } = JSON.parse(body)
    return { type: String(type), timestamp, data: data ?? {} }
  } catch {
    return { type: '', timestamp: '', data: {} }
  }
}

/** The claim about webhooks, and the list of those that have arrived at the receiver of the demo. */
export class WebhookClaim {
  #user
  #list = $('hooks')
  #after = 0
  /** Calls that have arrived: `{id, attempt, status, refusal, at, event}`. */
  #calls = []
  #waiting = new Set()

  /** @param host `user`; `show()` shows the code */
  constructor({ user, show }) {
    this.#user = user
    const press = (id, steps) => $(id).addEventListener('click', () => run([$(id)], () => steps(sayUntilNext('hook'))))
    press('hook-unread', (tell) => {
      show()
      return this.#unread(tell)
    })
    press('hook-read', (tell) => this.#read(tell))
    press('hook-expire', (tell) => this.#expire(tell))
    press('hook-fail', (tell) => this.#failOnce(tell))
    press('hook-forge', (tell) => this.#forge(tell))
  }

  /** Shows the webhooks that arrive from now on, and those of before. */
  async start() {
    const receiver = await this.#poll().catch(() => 'here')
    if (receiver in ELSEWHERE) {
      say('hook', ...ELSEWHERE[receiver])
      for (const button of $('hook-kinds').querySelectorAll('button')) button.hidden = true
      return
    }
    setInterval(() => this.#poll().catch(() => {}), POLL_MS)
  }

  async #poll() {
    const reply = await fetch(`${service}/demo/webhooks?after=${this.#after}`)
    if (!reply.ok) return 'here'
    const { receiver, entries } = await reply.json()
    for (const entry of entries) {
      // Two polls may be under way.
      if (entry.no <= this.#after) continue
      this.#after = entry.no
      const call = { ...entry, event: eventOf(entry.body) }
      this.#calls.push(call)
      this.#add(call)
    }
    if (entries.length > 0) for (const check of this.#waiting) check()
    return receiver
  }

  #add({ at, id, attempt, status, refusal, body, event }) {
    const make = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text })
    const row = make('li', refusal === '' ? (status < 300 ? 'verified' : 'failed') : 'refused')
    const time = Object.assign(make('time', 'from', new Date(at).toLocaleTimeString('en-GB')), { dateTime: new Date(at).toISOString() })
    const isVerified = refusal === ''
    const said = isVerified ? words[event.type]?.(event.data) : 'says so itself'
    const verdict = isVerified ? `verified, answered ${status}` : `not verified: ${refusal}`
    const summary = document.createElement('summary')
    summary.append(
      ...[time, make('b', '', event.type || 'no event'), make('span', 'words', String(event.data.user ?? ''))],
      ...[make('span', 'words', said ?? ''), make('span', 'from', id.slice(0, ID_SHOWN)), make('span', 'times', `attempt ${attempt}`)],
      make('span', 'verdict', verdict)
    )
    const details = document.createElement('details')
    const text = make('pre', '', `webhook-id: ${id}\n${event.type === '' ? body : JSON.stringify(JSON.parse(body), undefined, 2)}`)
    text.tabIndex = 0
    details.append(summary, text)
    row.append(details)
    const atEnd = this.#list.scrollTop + this.#list.clientHeight > this.#list.scrollHeight - 40
    $('hooks-empty')?.remove()
    this.#list.append(row)
    while (this.#list.children.length > ROWS_KEPT) this.#list.firstElementChild.remove()
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight
  }

  /** Returns the verified calls of an event about a notification. */
  #about(type, id) {
    return this.#calls.filter(
      ({ event, refusal }) => refusal === '' && event.type === type && (event.data.notification?.id ?? event.data.id) === id
    )
  }

  /** Resolves with the result of `find` when it is not undefined, or with undefined after a time. */
  async #find(find, ms = WAIT_MS) {
    let check
    const found = new Promise((resolve) => {
      check = () => {
        const result = find()
        if (result !== undefined) resolve(result)
      }
      this.#waiting.add(check)
      check()
    })
    const result = await Promise.race([found, pause(ms)])
    this.#waiting.delete(check)
    return result
  }

  async #send(more, user = this.#user) {
    const start = Date.now()
    const { ids } = await publish({ user, ...more })
    return { id: ids[0], start }
  }

  #fallback(title) {
    return this.#send({ type: 'invoice.due', title, fallback: { after: FALLBACK_SECONDS } })
  }

  /** Calls `tell` with the seconds that are left until a fallback is due. */
  async #countDown(start, tell) {
    const due = start + FALLBACK_SECONDS * 1000
    for (let left = due - Date.now(); left > 0; left = due - Date.now()) {
      tell(`${Math.ceil(left / 1000)} s`)
      await pause(Math.min(250, left))
    }
  }

  async #unread(tell) {
    const { id, start } = await this.#fallback('Invoice 77 is due')
    await this.#countDown(start, (left) =>
      tell(`unread: a webhook in ${left}`, 'Read it on a screen until then, and none is sent.', 'wait')
    )
    const find = (ms) => this.#find(() => this.#about('notification.fallback', id)[0], ms)
    let call = await find(QUIET_MS)
    if (call === undefined && (await this.#stateOf(id)) === 'read') {
      return tell('read in time: 0 webhooks', 'You have read it on a screen, so nobody needs a mail.', 'good')
    }
    call ??= await find(WAIT_MS)
    if (call) tell(`webhook after ${seconds(call.at - start)}: ${call.event.data.state}`, 'Now your receiver can send the mail.', 'good')
  }

  async #stateOf(id) {
    const { publisher } = await session(this.#user)
    const path = `/v1/users/${encodeURIComponent(this.#user)}/notifications/${encodeURIComponent(id)}`
    const reply = await fetch(service + path, { headers: { authorization: `Bearer ${publisher}` } })
    return reply.ok ? (await reply.json()).state : ''
  }

  async #read(tell) {
    const { id, start } = await this.#fallback('Invoice 78 is due')
    tell('sent, not read yet', `The page reads it after ${seconds(READ_MS)}, as you would.`, 'wait')
    await pause(READ_MS)
    const { token } = await session(this.#user)
    const reply = await fetch(`${service}/v1/me/notifications/mark`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ids: [id], state: 'read' })
    })
    if (!reply.ok) throw new Error(`the mark was answered with ${reply.status}`)
    const readAfter = Date.now() - start
    const note = 'The webhook would be due now: the store looks whether the notification is read.'
    await this.#countDown(start, (left) => tell(`read after ${seconds(readAfter)}, due in ${left}`, undefined, 'wait'))
    tell(`read after ${seconds(readAfter)}, due now`, note, 'wait')
    await pause(QUIET_MS)
    const count = this.#about('notification.fallback', id).length
    tell(
      `read after ${seconds(readAfter)}: ${count} webhooks`,
      `${seconds(QUIET_MS)} after it was due, none has come.`,
      count === 0 ? 'good' : ''
    )
  }

  async #expire(tell) {
    const { id, start } = await this.#send({ type: 'account.code', title: 'Your code is 4711', ttl: EXPIRES_SECONDS }, NOBODY)
    tell(`sent to ${NOBODY}, who has no device`, `It expires after ${EXPIRES_SECONDS} s.`, 'wait')
    const call = await this.#find(() => this.#about('notification.expired', id)[0])
    if (call)
      tell(
        `expired after ${seconds(call.at - start)}, received by no device`,
        'One that a device has received expires without a webhook.',
        'good'
      )
  }

  async #failOnce(tell) {
    await post('webhooks/fail', {})
    const { id, start } = await this.#send({ type: 'invoice.due', title: 'Invoice 79 is due', fallback: { after: 0 } })
    tell('the receiver answers 500', 'The call is kept in the store. It is repeated after about 5 s, with the same webhook-id.', 'wait')
    const call = await this.#find(() => this.#about('notification.fallback', id).find(({ status }) => status < 300))
    if (call === undefined) return
    const ids = new Set(this.#about('notification.fallback', id).map((one) => one.id))
    tell(
      `attempt ${call.attempt} after ${seconds(call.at - start)}, ${ids.size} webhook-id`,
      'A receiver that knows the id does nothing twice.',
      'good'
    )
  }

  async #forge(tell) {
    const { id } = await post('webhooks/forge', { user: this.#user })
    const call = await this.#find(() => this.#calls.find((one) => one.id === id))
    if (call) tell(`refused with ${call.status}`, `A call of somebody else’s: ${call.refusal}.`, call.refusal === '' ? '' : 'good')
  }
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`
