const ROWS_KEPT = 60
/** Equal frames of one screen within this time are one row. */
const GROUP_MS = 2000

/** Frames that keep a connection going. They are folded. */
const ROUTINE = ['ack', 'ping', 'pong', 'ok', 'caughtUp', 'refresh']

const ARROWS = { in: '↓', out: '↑', end: '×' }

/** Returns what a frame says, in words. */
function wordsOf(frame) {
  switch (frame.type) {
    case 'hello':
      return frame.resume.pending > 0 ? `goes on where it stopped: ${frame.resume.pending} rows to come` : 'connected, nothing missed'
    case 'notification':
      return `${frame.replay ? 'missed, now sent: ' : ''}${frame.notification.title}`
    case 'state':
      return `${frame.ids.length} marked ${frame.state}; ${frame.unread} unread`
    case 'retract':
      return `taken back: ${frame.reason}`
    case 'answered':
      return `answered: ${frame.action}`
    case 'digest':
      return `${frame.count} outdated ones in one row`
    case 'gap':
      return `${frame.count} can no longer be delivered: ${frame.reason}`
    case 'mark':
      return `mark as ${frame.state}`
    case 'answer':
      return `answer ${frame.action}`
    case 'close':
      return frame.code === 1006 ? 'lost, without a close frame' : `closed with ${frame.code} ${frame.reason}`
    default:
      return ''
  }
}

/** Shows the frames that matter, one row each, and folds the others. */
export class FrameLog {
  #list
  /** The newest row of each group, with its time and count. */
  #groups = new Map()

  constructor(list) {
    this.#list = list
  }

  add({ screen, direction, text }) {
    const frame = JSON.parse(text)
    if (frame.token) frame.token = '…'
    const isRoutine = ROUTINE.includes(frame.type)
    const key = isRoutine ? 'routine' : `${direction} ${screen} ${frame.type}`
    const group = this.#groups.get(key)
    const joins = group?.row.isConnected && (isRoutine ? group.row === this.#list.lastElementChild : Date.now() - group.at < GROUP_MS)
    const current = joins ? group : this.#start(key, isRoutine, direction, screen, frame.type)
    current.at = Date.now()
    current.count++
    current.types.set(frame.type, (current.types.get(frame.type) ?? 0) + 1)
    current.body.textContent += `${current.body.textContent === '' ? '' : '\n'}${ARROWS[direction]} ${screen}  ${JSON.stringify(frame)}`
    const counts = [...current.types].map(([type, count]) => `${count} ${type}`).join(', ')
    current.words.textContent = isRoutine ? `${current.count} routine: ${counts}` : wordsOf(frame)
    current.times.textContent = !isRoutine && current.count > 1 ? `× ${current.count}` : ''
  }

  clear() {
    this.#list.replaceChildren()
    this.#groups.clear()
  }

  #start(key, isRoutine, direction, screen, type) {
    const make = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text })
    const row = make('li', isRoutine ? 'routine' : direction)
    row.dataset.type = isRoutine ? '' : type
    const details = document.createElement('details')
    const summary = document.createElement('summary')
    const words = make('span', 'words')
    const times = make('span', 'times')
    if (isRoutine) summary.append(words)
    else summary.append(make('span', 'from', `${ARROWS[direction]} ${screen}`), make('b', '', type), times, words)
    const body = document.createElement('pre')
    body.tabIndex = 0
    details.append(summary, body)
    row.append(details)
    const atEnd = this.#list.scrollTop + this.#list.clientHeight > this.#list.scrollHeight - 40
    this.#list.append(row)
    while (this.#list.children.length > ROWS_KEPT) this.#list.firstElementChild.remove()
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight
    const group = { row, words, times, body, count: 0, types: new Map(), at: 0 }
    this.#groups.set(key, group)
    return group
  }
}
