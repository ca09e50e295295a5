import { Inbox } from '/belfry/client/inbox.js'
import { Belfry } from '/belfry/client/index.js'
import { avatar, call, element, getToken, whoAmI } from '/shared/client.js'

const find = (id) => document.getElementById(id)
const list = find('messages')
const me = await whoAmI(find('sign-in'))
const belfry = new Belfry(`${location.origin}/belfry`, { getToken })

/** The unread notifications of each room: the count of its badge, and what is marked as read when the room is open. */
const inboxByRoom = new Map()
let open = ''
let oldest = 0
const shown = new Set()

function unreadOf(room) {
  if (inboxByRoom.has(room)) return inboxByRoom.get(room)
  const inbox = new Inbox(belfry, { types: [`chat.${room}`], states: ['unread'] })
  inbox.on('change', () => {
    if (room === open && document.visibilityState === 'visible') markRead(room)
    else showBadge(room)
  })
  inboxByRoom.set(room, inbox)
  inbox.load().then(
    () => showBadge(room),
    () => {}
  )
  return inbox
}

function markRead(room) {
  const inbox = unreadOf(room)
  showBadge(room)
  const ids = inbox.list().map(({ id }) => id)
  if (ids.length > 0) inbox.mark(ids, 'read').catch(() => {})
}

function showBadge(room) {
  const badge = document.querySelector(`[data-room="${room}"] .badge`)
  if (!badge) return
  const count = room === open ? 0 : (inboxByRoom.get(room)?.count ?? 0)
  badge.textContent = count > 99 ? '99+' : String(count)
  badge.hidden = count === 0
}

/** Adds messages at the end, or older ones before the others. A message that is there already stays once. */
function add(messages, place = 'append') {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40
  const below = list.scrollHeight - list.scrollTop
  const rows = messages
    .filter(({ id }) => !shown.has(id) && shown.add(id))
    .map(({ from, text, at }) => {
      const time = element('time', {}, new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }))
      const head = element('p', { className: 'from' }, element('b', {}, from), time)
      return element('li', { className: from === me ? 'mine' : '' }, avatar(from), element('div', {}, head, element('p', {}, text)))
    })
  list[place](...rows)
  if (place === 'prepend') list.scrollTop = list.scrollHeight - below
  else if (isAtEnd) list.scrollTop = list.scrollHeight
  find('empty').hidden = shown.size > 0
}

/** Gets the newest page of the history: when a room is opened, and after a gap in what was received. */
async function load(room) {
  const { messages, from } = await call('GET', `/rooms/${room}/messages`)
  if (room !== open) return
  list.replaceChildren()
  shown.clear()
  oldest = from
  add(messages)
  list.scrollTop = list.scrollHeight
}

async function enter(room) {
  open = room
  find('title').textContent = room
  list.replaceChildren()
  shown.clear()
  await call('PUT', `/rooms/${room}`)
  await Promise.all([showRooms(), load(room)])
  markRead(room)
  find('text').focus()
}

async function showRooms() {
  const { rooms, joined } = await call('GET', '/rooms')
  const rows = rooms.map((room) => {
    const link = element('a', { href: `#${room}`, ariaCurrent: room === open ? 'page' : null }, element('span', {}, room))
    link.append(element('b', { className: 'badge', hidden: true }))
    link.dataset.room = room
    return element('li', { className: joined.includes(room) ? '' : 'other' }, link)
  })
  find('rooms').replaceChildren(...rows)
  for (const room of joined) unreadOf(room)
  for (const room of rooms) showBadge(room)
}

belfry.on('notification', ({ notification: { data } }) => {
  if (data?.room === open) add([data.message])
})
belfry.on('gap', () => load(open).catch(() => {}))
belfry.on('state', ({ state }) => {
  find('status').hidden = state === 'connected'
  // A new room of somebody else, and a history that was written while this page was not connected.
  if (state === 'connected') showRooms().catch(() => {})
})

list.addEventListener('scroll', async () => {
  if (list.scrollTop > 0 || oldest === 0) return
  const [room, before] = [open, oldest]
  oldest = 0
  const { messages, from } = await call('GET', `/rooms/${room}/messages?before=${before}`)
  if (room !== open) return
  oldest = from
  add(messages, 'prepend')
})

find('write').addEventListener('submit', async (event) => {
  event.preventDefault()
  const text = find('text').value.trim()
  if (text === '') return
  find('text').value = ''
  try {
    add([await call('POST', `/rooms/${open}/messages`, { text })])
    list.scrollTop = list.scrollHeight
  } catch {
    find('text').value = text
    find('status').hidden = false
  }
})
find('new').addEventListener('submit', (event) => {
  event.preventDefault()
  location.hash = find('new')
    .elements.name.value.toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 32)
  find('new').reset()
})
document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && markRead(open))
addEventListener('hashchange', () => enter(location.hash.slice(1) || 'general'))

find('me').replaceChildren(avatar(me), me)
belfry.connect()
await enter(location.hash.slice(1) || 'general')
