import { Cable } from './cable.js'
import { Belfry } from './client/index.js'
import { busOf, pasted, post, session } from './shared.js'

/**
 * Returns the client of a screen. Tells the page of the demo every frame, every arrival and every change of the connection, and pulls the cable
 * when the page says so. The query names the screen: `user`, `name`, `room`, and `device` for a device of its own.
 */
export function startScreen() {
  const { searchParams } = new URL(location.href)
  const user = searchParams.get('user') ?? 'alice'
  const screen = searchParams.get('name') ?? 'Another tab'
  const device = searchParams.get('device')
  // A screen with a device of its own stands for another browser. Web Push is of this one, whose device is the laptop.
  if (device !== null) delete globalThis.PushManager
  const bus = busOf(searchParams.get('room') ?? '')
  const tell = (message) => bus.postMessage({ ...message, screen })

  let node = ''
  const cable = new Cable(
    (direction, text) => {
      if (direction === 'in' && text.startsWith('{"type":"hello"')) node = JSON.parse(text).node
      tell({ kind: 'frame', direction, text })
    },
    () => tellStatus()
  )
  const getToken = async () => (await session(user, cable.fetch))?.token ?? pasted.get()
  const options = device === null ? {} : { deviceId: device, leader: false }
  const belfry = new Belfry(`${location.origin}${location.pathname.replace(/\/demo\/.*$/, '')}`, {
    ...options,
    getToken,
    WebSocket: cable.WebSocket,
    fetch: cable.fetch
  })
  const tellStatus = () =>
    tell({
      kind: 'status',
      state: belfry.state,
      holdsSocket: device !== null || belfry.leader === true,
      node,
      isOut: cable.isOut,
      dropped: cable.dropped
    })

  /** Times that each notification was shown, by id. */
  const timesById = new Map()
  /** Ids that arrived since the cable was plugged in; undefined while nothing is to be caught up. */
  let caught
  belfry.on('state', tellStatus)
  belfry.on('notification', ({ notification: { id }, replay }) => {
    const times = (timesById.get(id) ?? 0) + 1
    timesById.set(id, times)
    caught?.push(id)
    tell({ kind: 'arrived', id, replay, times, at: Date.now() })
  })
  belfry.on('retract', ({ id }) => tell({ kind: 'retracted', id }))
  belfry.on('caughtUp', () => {
    tellStatus()
    if (caught === undefined) return
    tell({ kind: 'caughtUp', count: caught.length, twice: caught.filter((id) => timesById.get(id) > 1).length })
    caught = undefined
  })
  bus.onmessage = async ({ data }) => {
    if (data.kind === 'ask') tellStatus()
    if (data.kind !== 'plug' || !data.screens.includes(screen)) return
    if (data.isOut) return cable.pull()
    caught ??= []
    await cable.plugIn(async (cut) => cut === '' || (await post('cut', { device: cut })) !== undefined)
  }
  addEventListener('pagehide', () => tell({ kind: 'left' }))
  tellStatus()
  return { belfry, user, screen, device }
}
