import * as Y from 'yjs'
import { Belfry } from '/belfry/client/index.js'
import { avatar, call, element, find, getToken, slugOf, whoAmI } from '/shared/client.js'

/** What is typed within this time is sent as one update, milliseconds: four a second, though a user may get ten notifications a second. */
const GATHER_MS = 250
const RETRY_MS = 1000

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const area = find('text')

await whoAmI()
const name = new URLSearchParams(location.search).get('note') ?? 'welcome'
const doc = new Y.Doc()
const text = doc.getText('text')

/** Updates that the server does not have yet, and the version of the document that this page has. */
const waiting = []
let version = 0
let isSending = false

function show(status, kind) {
  find('status').textContent = status
  find('status').className = `status ${kind}`
}

doc.on('update', (update, origin) => {
  if (origin === 'server') return
  waiting.push(update)
  send()
})

/** Sends the updates that wait, as one. One request is under way at a time, so a slow network only makes the updates larger. */
async function send() {
  if (isSending) return
  isSending = true
  while (waiting.length > 0) {
    show('Saving…', 'wait')
    await sleep(GATHER_MS)
    const gathered = waiting.splice(0)
    await call('POST', `/notes/${name}`, Y.mergeUpdates(gathered)).catch(async ({ status, message }) => {
      waiting.unshift(...gathered)
      show(status === undefined ? 'Offline: your changes are kept here' : `Not saved: ${message}`, 'off')
      await sleep(RETRY_MS)
    })
  }
  isSending = false
  show('Saved', 'good')
}

/** Gets what this page does not have: at the start, after a reconnect, and when a notification says that an update is missing. */
async function sync() {
  const missing = await call('POST', `/notes/${name}/sync`, Y.encodeStateVector(doc))
  Y.applyUpdate(doc, decode(missing.update), 'server')
  version = Math.max(version, missing.version)
  find('people').replaceChildren(...missing.people.map((person) => element('li', {}, avatar(person))))
  if (waiting.length === 0) show('Saved', 'good')
}

const decode = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))

const belfry = new Belfry(`${location.origin}/belfry`, { getToken })
belfry.on('notification', ({ notification: { data } }) => {
  if (data?.name !== name || data.version <= version) return
  if (data.update === undefined || data.version > version + 1) return void sync().catch(() => {})
  version = data.version
  Y.applyUpdate(doc, decode(data.update), 'server')
})
belfry.on('state', ({ state }) => {
  if (state === 'connected') sync().catch(() => {})
  else if (waiting.length === 0) show('Connecting…', 'off')
})

// The text area and the shared text.

const isHigh = (unit) => unit >= 0xd800 && unit < 0xdc00

/** Writes what the person changed: the part between the common beginning and the common end. No emoji is cut in two. */
area.addEventListener('input', () => {
  const [old, now] = [text.toString(), area.value]
  const shorter = Math.min(old.length, now.length)
  let start = 0
  while (start < shorter && old[start] === now[start]) start++
  if (isHigh(old.charCodeAt(start - 1))) start--
  let end = 0
  while (end < shorter - start && old.at(-1 - end) === now.at(-1 - end)) end++
  if (end > 0 && isHigh(old.charCodeAt(old.length - end - 1))) end--
  doc.transact(() => {
    text.delete(start, old.length - start - end)
    text.insert(start, now.slice(start, now.length - end))
  })
})

/** Shows what others changed, and keeps the caret at its letter. */
text.observe(({ delta, transaction }) => {
  if (transaction.origin !== 'server') return
  const selection = [area.selectionStart, area.selectionEnd]
  let at = 0
  for (const { retain = 0, insert = '', delete: removed = 0 } of delta) {
    at += retain
    for (const [end, position] of selection.entries()) {
      if (position > at) selection[end] = Math.max(at, position - removed) + insert.length
    }
    at += insert.length
  }
  area.value = text.toString()
  area.setSelectionRange(...selection)
})

find('title').textContent = name
find('new').addEventListener('submit', (event) => {
  event.preventDefault()
  location.search = `?note=${slugOf(find('name').value)}`
})
addEventListener('beforeunload', (event) => waiting.length > 0 && event.preventDefault())

await sync()
area.disabled = false
const names = await call('GET', '/notes')
const link = (note) => element('a', { href: `?note=${note}`, ariaCurrent: note === name ? 'page' : null }, note)
find('notes').replaceChildren(...[...new Set([...names, name])].map((note) => element('li', {}, link(note))))
belfry.connect()
