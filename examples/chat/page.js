import { Inbox } from '/belfry/client/inbox.js'
import { Belfry } from '/belfry/client/index.js'
import { avatar, call, element, find, getToken, slugOf, whoAmI } from '/shared/client.js'

const list = find('messages')
const me = await whoAmI()
const belfry = new Belfry(`${location.origin}/belfry`, { getToken })

/** The unread notifications of each room that this person has joined. */
const inboxByRoom = new Map()
/** The ids of the messages in the list, and the place of the oldest in the history of the room. */
const shown = new Set()
let oldest = 0
let open = ''

function follow(room) {
  const inbox = new Inbox(belfry, { types: [`chat.${room}`], states: ['unread'] })
  inboxByRoom.set(room, inbox)
  inbox.on('change', () => update(room))
  inbox.load().catch(() => {})
}

/** Shows how many messages of a room are unread. Those of the open room are read, on all devices. */
function update(room) {
  const inbox = inboxByRoom.get(room)
  const isRead = room === open && document.visibilityState === 'visible'
  const ids = isRead ? inbox.list().map(({ id }) => id) : []
  if (ids.length > 0) inbox.mark(ids, 'read').catch(() => {})
  const badge = document.querySelector(`[data-room="${room}"] .badge`)
  if (badge) badge.textContent = isRead ? '' : inbox.count || ''
}

/** Adds messages at the end, or older ones before the others. A message that is there already stays once. */
function add(messages, place = 'append') {
  const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40
  const below = list.scrollHeight - list.scrollTop
  for (const { id, from, text, at } of place === 'append' ? messages : messages.toReversed()) {
    if (shown.has(id)) continue
    shown.add(id)
    const time = element('time', {}, new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }))
    const body = element('div', {}, element('p', { className: 'from' }, element('b', {}, from), time), element('p', {}, text))
    list[place](element('li', { className: from === me ? 'mine' : '' }, avatar(from), body))
  }
  if (place === 'prepend') list.scrollTop = list.scrollHeight - below
  else if (isAtEnd) list.scrollTop = list.scrollHeight
  find('empty').hidden = shown.size > 0
}

/** Shows a page of the history: the newest when a room is opened and after a gap, older ones when the list is scrolled to its top. */
async function load(room, before) {
  const { messages, from } = await call('GET', `/rooms/${room}/messages${before === undefined ? '' : `?before=${before}`}`)
  if (room !== open) return
  oldest = from
  add(messages, before === undefined ? 'append' : 'prepend')
}

async function enter(room) {
  open = room
  find('title').textContent = room
  list.replaceChildren()
  shown.clear()
  await call('PUT', `/rooms/${room}`)
  await Promise.all([showRooms(), load(room)])
  find('text').focus()
}

async function showRooms() {
  const { rooms, joined } = await call('GET', '/rooms')
  const rows = rooms.map((room) => {
    const link = element('a', { href: `#${room}`, ariaCurrent: room === open ? 'page' : null }, room, element('b', { className: 'badge' }))
    link.dataset.room = room
    return element('li', { className: joined.includes(room) ? '' : 'other' }, link)
  })
  find('rooms').replaceChildren(...rows)
  for (const room of joined) if (!inboxByRoom.has(room)) follow(room)
  for (const room of joined) update(room)
}

belfry.on('notification', ({ notification: { id, data } }) => {
  if (data?.message.from === me) belfry.mark([id], 'read').catch(() => {})
  if (data?.room === open) add([data.message])
})
belfry.on('gap', () => load(open).catch(() => {}))
belfry.on('state', ({ state }) => {
  find('status').hidden = state === 'connected'
  if (state === 'connected') showRooms().catch(() => {})
})

list.addEventListener('scroll', () => {
  if (list.scrollTop > 0 || oldest === 0) return
  const before = oldest
  oldest = 0
  load(open, before).catch(() => {})
})
find('write').addEventListener('submit', async (event) => {
  event.preventDefault()
  const text = find('text').value.trim()
  if (text === '') return
  find('text').value = ''
  try {
    add([await call('POST', `/rooms/${open}/messages`, { text })])
  } catch {
    find('text').value = text
  }
})
find('new').addEventListener('submit', (event) => {
  event.preventDefault()
  location.hash = slugOf(find('name').value)
  find('name').value = ''
})
document.addEventListener('visibilitychange', () => inboxByRoom.has(open) && update(open))
addEventListener('hashchange', () => enter(location.hash.slice(1) || 'general'))

belfry.connect()
await enter(location.hash.slice(1) || 'general')
