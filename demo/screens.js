import { busOf, pause } from './shared.js'

/** The longest wait for arrivals, milliseconds. */
const SETTLE_MS = 30_000

const LAPTOP = ['Laptop', 'Second tab']

/** The screens of the page. `device` is a device of its own; the two tabs of the laptop share one, and the connection of either. */
const SCREENS = [
  { name: 'Laptop', page: 'app.html', className: 'laptop', plugs: LAPTOP, follows: 'shares the second tab’s connection' },
  { name: 'Second tab', page: 'screen.html', className: 'tab', plugs: LAPTOP, follows: 'shares the laptop’s connection', isTab: true },
  { name: 'Office PC', page: 'screen.html', className: 'office', plugs: ['Office PC'], device: 'office' },
  { name: 'Phone', page: 'screen.html', className: 'phone', plugs: ['Phone'], device: 'phone' }
]

/** The colleagues of a user. Each has one screen. */
const COLLEAGUES = ['bob', 'carol', 'dan', 'erin']
const SEATS = 3

/** The screens: shows them, hears from them, and pulls their plugs. */
export class Screens {
  /** By name: `status`, `timesById`, `atById`, `retracted`, and the elements. */
  #byName = new Map()
  #waiting = new Set()
  #bus
  #host
  /** Returns the letter of a node by its id; '' on a single node. */
  nodeName = () => ''

  /** @param host `frame(message)`, `arrived(message)` and `changed()` are called for what the screens tell */
  constructor(room, host) {
    this.#host = host
    this.#bus = busOf(room)
    this.#bus.onmessage = ({ data }) => this.#hear(data)
    this.room = room
  }

  show(stage, user) {
    this.#byName.clear()
    stage.replaceChildren(...SCREENS.map((screen) => this.#figureOf(screen, user)))
  }

  /** Forgets all screens, whose frames the page removes: that ends their connections. */
  close() {
    this.#byName.clear()
  }

  /** Shows a screen of each colleague of a user. Returns their users, and the names of their screens. */
  showTeam(host, user) {
    const users = COLLEAGUES.filter((colleague) => colleague !== user).slice(0, SEATS)
    const team = users.map((colleague) => {
      const name = colleague[0].toUpperCase() + colleague.slice(1)
      return { name, page: 'screen.html', className: 'colleague', plugs: [name], device: 'desk', user: colleague }
    })
    host.replaceChildren(...team.map((screen) => this.#figureOf(screen, screen.user)))
    return { users, names: team.map(({ name }) => name) }
  }

  get #own() {
    return [...this.#byName].filter(([, { screen }]) => screen.user === undefined)
  }

  /** Returns the number of the user's screens that are connected. */
  get connected() {
    return this.#own.filter(([, { status }]) => status.state === 'connected' && !status.isOut).length
  }

  /** Returns the names of the user's screens whose plug is in. */
  plugged() {
    return this.#own.filter(([, { status }]) => !status.isOut).map(([name]) => name)
  }

  statusOf(name) {
    return this.#byName.get(name)?.status ?? {}
  }

  /** Returns how many of the notifications a screen has shown, how many of them more than once, and when the last one came. */
  count(name, ids) {
    const { timesById, atById } = this.#byName.get(name) ?? { timesById: new Map(), atById: new Map() }
    const shown = ids.filter((id) => timesById.has(id))
    const at = Math.max(0, ...shown.map((id) => atById.get(id)))
    return {
      shown: shown.length,
      twice: shown.filter((id) => timesById.get(id) > 1).length,
      at,
      order: [...timesById.keys()].filter((id) => ids.includes(id))
    }
  }

  /**
   * Returns how many devices of the user have shown the notifications, how many devices there are, and how many of the notifications a screen has
   * shown more than once. A tab that opens later than the other one of its device has them in its list alone.
   */
  countDevices(ids) {
    const devices = new Set(this.#own.map(([, { screen }]) => screen.plugs))
    const counts = [...devices].map((names) => names.map((name) => this.count(name, ids)))
    return {
      devices: counts.filter((screens) => screens.some(({ shown }) => shown === ids.length)).length,
      all: counts.length,
      twice: counts.flat().reduce((sum, { twice }) => sum + twice, 0)
    }
  }

  /** Returns true if a screen has taken the notification from its list. */
  isGone(name, id) {
    return this.#byName.get(name)?.retracted.has(id) === true
  }

  /** Resolves when every one of the screens has shown all notifications, or after 30 s. Calls `changed` after each message of a screen. */
  async settle(names, ids, changed = () => {}) {
    return this.until(() => {
      changed()
      return names.every((name) => this.count(name, ids()).shown >= ids().length && ids().length > 0)
    })
  }

  /** Resolves when `test` returns true after a message of a screen, or after 30 s. */
  async until(test) {
    let check
    const met = new Promise((resolve) => {
      check = () => test() && resolve()
      this.#waiting.add(check)
      check()
    })
    await Promise.race([met, pause(SETTLE_MS)])
    this.#waiting.delete(check)
  }

  /** Calls the tests of all waits again. */
  recheck() {
    for (const check of this.#waiting) check()
  }

  plug(name, isOut) {
    const { screen } = this.#byName.get(name)
    this.#bus.postMessage({ kind: 'plug', screens: screen.plugs, isOut })
  }

  renderAll() {
    for (const entry of this.#byName.values()) this.#render(entry)
  }

  #figureOf(screen, user) {
    const { name, page, className, device } = screen
    const make = (tag, properties) => Object.assign(document.createElement(tag), properties)
    const query = new URLSearchParams({ user, name, room: this.room, ...(device ? { device: `${device}-${user}` } : {}) })
    const figure = make('figure', { className: `screen ${className}` })
    const status = make('span', { className: 'status', textContent: 'connecting' })
    const proof = make('span', { className: 'proof' })
    const bar = make('figcaption', {})
    bar.append(make('b', { textContent: name }), status)
    const entry = { screen, figure, statusText: status, proof, status: {}, timesById: new Map(), atById: new Map(), retracted: new Set() }
    if (!screen.isTab) {
      entry.plug = make('button', { type: 'button', className: 'plug', textContent: 'Pull the plug' })
      entry.plug.setAttribute('aria-label', `${name}: pull the plug`)
      entry.plug.addEventListener('click', () => this.plug(name, !entry.status.isOut))
      bar.append(entry.plug)
    }
    bar.append(proof)
    figure.append(bar, make('iframe', { src: `demo/${page}?${query}`, title: name }))
    this.#byName.set(name, entry)
    return figure
  }

  #hear(message) {
    const { kind, screen: name } = message
    if (kind === 'frame') this.#host.frame(message)
    const entry = this.#byName.get(name)
    if (entry === undefined) return
    if (kind === 'arrived') {
      entry.timesById.set(message.id, message.times)
      entry.atById.set(message.id, message.at)
      this.#host.arrived(message)
    } else if (kind === 'retracted') {
      entry.retracted.add(message.id)
    } else if (kind === 'status') {
      if (message.isOut) entry.caught = undefined
      entry.status = message
      this.#render(entry)
    } else if (kind === 'caughtUp') {
      entry.caught = message
      this.#render(entry)
    }
    this.#host.changed()
    this.recheck()
  }

  /** Returns the result of the last return of a screen to its network: `count` and `twice`. */
  caughtUp(name) {
    return this.#byName.get(name)?.caught
  }

  #render({ screen, figure, statusText, proof, plug, status, caught }) {
    const { state, isOut, dropped, holdsSocket } = status
    figure.dataset.state = isOut ? 'out' : (state ?? 'connecting')
    const node = this.nodeName(status.node)
    const live = holdsSocket === false && screen.follows ? screen.follows : node === '' ? 'live' : `node ${node}`
    statusText.textContent = isOut ? 'no network' : state === 'connected' ? live : 'connecting'
    const result = caught === undefined ? '' : `caught up ${caught.count}, ${caught.twice} twice`
    proof.textContent = isOut ? `${dropped} frames lost` : result
    if (plug === undefined) return
    plug.textContent = isOut ? 'Plug in' : 'Pull the plug'
    plug.setAttribute('aria-label', `${screen.name}: ${isOut ? 'plug in' : 'pull the plug'}`)
  }
}
