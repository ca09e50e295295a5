/** Time after which an attempt to connect without a network fails, milliseconds. */
const FAIL_MS = 300

/**
 * The network cable of one screen: the SDK gets its `WebSocket` and its `fetch`. While the cable is out, frames are dropped in both directions
 * and no close frame crosses it, so that the service does not know. When it is plugged in again, the service resets the old TCP connection.
 */
export class Cable {
  isOut = false
  /** Frames of the service that were dropped since the cable was pulled. */
  dropped = 0
  /** The device of the last connection. */
  device = ''
  #sockets = new Set()
  #tell
  #changed
  WebSocket
  fetch = (...args) => (this.isOut ? Promise.reject(new TypeError('the network cable is out')) : fetch(...args))

  /**
   * @param tell called with the direction (`in`, `out` or `end`) and the text of each frame
   * @param changed called when `isOut` or `dropped` changed
   */
  constructor(tell, changed) {
    this.#tell = tell
    this.#changed = changed
    const cable = this
    this.WebSocket = class extends CableSocket {
      constructor(url, protocols) {
        super(cable, url, protocols)
      }
    }
  }

  pull() {
    if (this.isOut) return
    this.isOut = true
    this.dropped = 0
    for (const socket of this.#sockets) socket.cut()
    this.#changed()
    // Browsers fire this event when the machine loses its network.
    dispatchEvent(new Event('offline'))
  }

  /** @param reset resets the old TCP connections of the device; resolves to false if the service cannot */
  async plugIn(reset) {
    if (!this.isOut) return
    const wasReset = await reset(this.device).catch(() => false)
    for (const socket of this.#sockets) if (socket.isCut) socket.abandon(!wasReset)
    this.isOut = false
    this.#changed()
    dispatchEvent(new Event('online'))
  }

  add(socket, url) {
    this.device = new URL(url).searchParams.get('device_id') ?? ''
    this.#sockets.add(socket)
  }

  remove(socket) {
    this.#sockets.delete(socket)
  }

  tell(direction, text) {
    this.#tell(direction, text)
  }

  drop() {
    this.dropped++
    this.#changed()
  }
}

/** A WebSocket over the cable. */
class CableSocket extends EventTarget {
  isCut = false
  #cable
  #socket

  constructor(cable, url, protocols) {
    super()
    this.#cable = cable
    if (cable.isOut) {
      setTimeout(() => this.#closed(1006, ''), FAIL_MS)
      return
    }
    const socket = new WebSocket(url, protocols)
    this.#socket = socket
    cable.add(this, url)
    socket.addEventListener('message', ({ data }) => {
      if (this.isCut) return cable.drop()
      cable.tell('in', data)
      this.dispatchEvent(new MessageEvent('message', { data }))
    })
    socket.addEventListener('close', ({ code, reason }) => {
      cable.remove(this)
      if (!this.isCut) this.#closed(code, reason)
    })
  }

  send(data) {
    if (this.isCut || this.#socket === undefined) return
    this.#cable.tell('out', data)
    this.#socket.send(data)
  }

  close(code, reason) {
    // The close frame of a socket that was cut does not leave the screen.
    if (!this.isCut) this.#socket?.close(code, reason)
  }

  cut() {
    this.isCut = true
  }

  /** Forgets a socket that was cut. */
  abandon(close) {
    this.#cable.remove(this)
    if (close) this.#socket?.close()
  }

  #closed(code, reason) {
    this.#cable.tell('end', JSON.stringify({ type: 'close', code, reason }))
    this.dispatchEvent(new CloseEvent('close', { code, reason }))
  }
}
