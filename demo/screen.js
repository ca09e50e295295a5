import { Inbox } from './client/inbox.js'
import { startScreen } from './screen-client.js'
import { toaster } from './toast.js'

const SHOWN = 60

const { belfry, screen, device } = startScreen()
const inbox = new Inbox(belfry)
const $ = (id) => document.getElementById(id)
const rows = new Map()
/** Ids of notifications whose mark failed. The inbox has taken the mark back. */
const failed = new Set()

$('inbox').tabIndex = 0
$('inbox').setAttribute('aria-label', `${screen}: inbox`)
document.title = screen
document.body.classList.toggle('phone', device?.startsWith('phone') === true)

function rowOf(item, animate) {
  const button = document.createElement('button')
  const dot = Object.assign(document.createElement('span'), { className: 'dot' })
  const title = Object.assign(document.createElement('span'), { className: 'title' })
  const state = Object.assign(document.createElement('span'), { className: 'state' })
  const time = document.createElement('time')
  button.append(dot, title, state, time)
  const row = document.createElement('li')
  button.addEventListener('click', () => {
    failed.delete(item.id)
    inbox.mark(item.id, button.classList.contains('unread') ? 'read' : 'unread').catch(() => {
      failed.add(item.id)
      renderList()
    })
  })
  if (animate) row.className = 'fresh'
  row.append(button)
  if (item.actions) row.append(actionsOf(item))
  return row
}

/** The buttons of a notification. Its answer takes their place. */
function actionsOf({ id, actions }) {
  const element = Object.assign(document.createElement('div'), { className: 'actions' })
  for (const { action, title } of actions) {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: title })
    button.addEventListener('click', () => inbox.answer(id, action).catch(() => renderList()))
    element.append(button)
  }
  element.append(Object.assign(document.createElement('span'), { className: 'answer' }))
  element.lastElementChild.setAttribute('role', 'status')
  return element
}

function renderActions(element, { actions, answer, answering }) {
  const text = element.lastElementChild
  for (const button of element.querySelectorAll('button')) {
    if (answer) button.remove()
    else button.disabled = answering !== undefined
  }
  if (!answer || text.textContent !== '') return
  const title = actions.find(({ action }) => action === answer.action)?.title ?? answer.action
  text.textContent =
    answer.deviceId === belfry.deviceId ? `${title}, answered here` : `${title}, answered on the ${nameOf(answer.deviceId)}`
}

function nameOf(deviceId) {
  return /^(phone|office)-/.exec(deviceId)?.[1] ?? 'laptop'
}

/** Returns the age in words; '' for a timestamp that no `Date` can hold. */
function age(timestamp) {
  if (Number.isNaN(new Date(timestamp).getTime())) return ''
  const seconds = Math.max(0, Math.round((Date.now() - timestamp) / 1000))
  if (seconds < 5) return 'now'
  if (seconds < 60) return `${seconds} s`
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`
}

function timeOf({ id, timestamp, expiresAt, answer }) {
  if (failed.has(id)) return 'not marked: try again'
  return expiresAt === undefined || answer ? age(timestamp) : `${Math.max(0, Math.ceil((expiresAt - Date.now()) / 1000))} s left`
}

function renderList(animate = true) {
  const items = inbox
    .list()
    .filter(({ state }) => state !== 'archived')
    .slice(0, SHOWN)
  const ids = new Set(items.map(({ id }) => id))
  for (const [id, row] of rows) {
    if (ids.has(id)) continue
    row.remove()
    rows.delete(id)
  }
  let before = $('list').firstElementChild
  for (const item of items) {
    const row = rows.get(item.id) ?? rowOf(item, animate)
    rows.set(item.id, row)
    if (row === before) before = before.nextElementSibling
    else $('list').insertBefore(row, before)
    const button = row.firstElementChild
    const unread = item.state === 'unread' || item.state === 'seen'
    button.classList.toggle('unread', unread)
    const [, title, state, time] = button.children
    title.textContent = item.title
    state.textContent = unread ? 'unread: mark read' : 'read: mark unread'
    time.textContent = timeOf(item)
    if (item.actions) renderActions(row.lastElementChild, item)
  }
  $('empty').hidden = items.length > 0
  $('unread').hidden = inbox.unread === 0
  $('unread').textContent = inbox.unread > 99 ? '99+' : String(inbox.unread)
  $('unread').title = `${inbox.unread} unread`
}

toaster(belfry)
inbox.on('change', () => renderList())
setInterval(renderList, 1000)
belfry.connect()
inbox.load().then(
  () => renderList(false),
  ({ message }) => {
    $('empty').textContent = `Notifications could not be loaded: ${message}`
  }
)
