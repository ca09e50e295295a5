import './client/bell.js'
import { rateChart } from './chart.js'
import { clientOf, frames, pasted, post, service, session, tripOf } from './shared.js'

const FRAMES_KEPT = 200
const SCREENS_MAX = 6
const POLL_MS = 500
const BURST = 50
const PROGRESS_STEP = 10
const PROGRESS_MS = 600
const EXPIRES_SECONDS = 8
const SCHEDULED_MS = 10_000
const ACTIONS = [
  { action: 'approve', title: 'Approve' },
  { action: 'reject', title: 'Reject' }
]

const $ = (id) => document.getElementById(id)
const chart = rateChart($('chart'))

/** The user, the page's client, and the notifications that the page sent last. Each user has a scene of their own. */
let scene = { user: '', belfry: undefined, publisher: '', last: [], polling: false, asked: false }
let tabs = 1
let phones = 0

// Scrolling areas must be reachable by the keyboard.
for (const id of ['frames', 'curl-box']) $(id).tabIndex = 0

// Screens

function addScreen(kind) {
  const windows = $('windows')
  if (windows.children.length >= SCREENS_MAX) return
  const phone = kind === 'phone'
  const name = phone ? `Phone ${++phones}` : `Tab ${++tabs}`
  const query = new URLSearchParams({ user: scene.user, name, ...(phone ? { device: `phone-${phones}` } : {}) })
  const figure = document.createElement('figure')
  figure.className = phone ? 'screen phone' : 'screen'
  const frame = Object.assign(document.createElement('iframe'), { src: `demo/screen.html?${query}`, title: name })
  const close = Object.assign(document.createElement('button'), { type: 'button', className: 'close', textContent: '×' })
  close.setAttribute('aria-label', `Close ${name}`)
  close.addEventListener('click', () => {
    figure.remove()
    countScreens()
  })
  figure.append(frame, close)
  windows.append(figure)
  countScreens()
}

function countScreens() {
  const count = $('windows').children.length
  $('screens').textContent = String(count + 1)
  for (const id of ['add-tab', 'add-phone']) $(id).disabled = count >= SCREENS_MAX
  poll()
}

// Frames

function showFrame({ user, screen, direction, text }) {
  if (user !== scene.user) return
  if (direction === 'end' || text.startsWith('{"type":"hello"')) poll()
  const list = $('frames')
  const row = document.createElement('li')
  row.className = direction
  const type = direction === 'end' ? '' : (/"type":"(\w+)"/.exec(text)?.[1] ?? '')
  row.dataset.type = type
  const from = Object.assign(document.createElement('span'), {
    className: 'from',
    textContent: `${{ in: '↓', out: '↑', end: '×' }[direction]} ${screen}`
  })
  const body = Object.assign(document.createElement('code'), { textContent: text.replace(/"token":"[^"]+"/, '"token":"…"') })
  row.append(from, body)
  const atEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 40
  list.append(row)
  while (list.children.length > FRAMES_KEPT) list.firstElementChild.remove()
  if (atEnd) list.scrollTop = list.scrollHeight
}

frames.onmessage = ({ data }) => showFrame(data)
addEventListener('frame', ({ detail }) => showFrame(detail))
$('clear').addEventListener('click', () => $('frames').replaceChildren())

// Figures of the user: requested after each change, and again while notifications are parked.

async function poll() {
  const here = scene
  if (here.publisher === '') return
  here.asked = true
  if (here.polling) return
  here.polling = true
  try {
    while (here.asked && here === scene) {
      here.asked = false
      const reply = await fetch(`${service}/demo/users/${encodeURIComponent(here.user)}`)
      if (!reply.ok || here !== scene) break
      const { parked, connections } = await reply.json()
      $('parked').textContent = String(parked)
      $('parked').classList.toggle('busy', parked > 0)
      $('connections').textContent = String(connections)
      here.asked ||= parked > 0
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  } catch {
    // The next change requests them again.
  }
  here.polling = false
}

// Sending

function content() {
  const data = Object.fromEntries(new FormData($('send')))
  return { type: data.type, title: data.title, ...(data.ref === '' ? {} : { ref: data.ref }) }
}

function fail({ message }) {
  $('problem').textContent = message
}

async function send(count) {
  $('problem').textContent = ''
  try {
    const single = count === 1 ? { data: { sentAt: Date.now() } } : {}
    const { ids } = await post('publish', { user: scene.user, ...content(), ...single, count })
    scene.last.push(...ids)
    $('recall').disabled = false
    poll()
  } catch (error) {
    fail(error)
  }
}

$('send').addEventListener('submit', (event) => {
  event.preventDefault()
  send(1)
})
$('burst').addEventListener('click', () => send(BURST))
$('recall').addEventListener('click', async () => {
  const id = scene.last.pop()
  $('recall').disabled = scene.last.length === 0
  if (id !== undefined) await post('recall', { user: scene.user, id }).catch(fail)
  poll()
})

// Options of a notification

/** Publishes a notification with options, and says below the buttons what to watch. */
async function sendKind(note, options) {
  const { user } = scene
  $('problem').textContent = ''
  try {
    const { ids } = await post('publish', { user, ...options })
    if (scene.user !== user) return
    $('kind-note').textContent = note
    scene.last.push(...ids)
    $('recall').disabled = false
  } catch (error) {
    fail(error)
  }
}

/** Each step takes the place of the one before, in every list and in the toast. */
async function countUp() {
  const { user } = scene
  const collapseKey = `export-${Date.now()}`
  $('progress').disabled = true
  for (let done = 0; done <= 100 && scene.user === user; done += PROGRESS_STEP) {
    const title = done < 100 ? `Export: ${done} %` : 'Export finished'
    await sendKind('One row that counts up, and one unread notification.', { type: 'export', title, collapseKey })
    await new Promise((resolve) => setTimeout(resolve, PROGRESS_MS))
  }
  $('progress').disabled = scene.publisher === ''
}

$('progress').addEventListener('click', countUp)
$('expiring').addEventListener('click', () =>
  sendKind('It leaves every screen by itself, also one that is offline.', {
    type: 'code',
    title: 'Your code is 4711',
    ttl: EXPIRES_SECONDS
  })
)
$('scheduled').addEventListener('click', () =>
  sendKind('Accepted. It arrives in 10 seconds.', { type: 'meeting', title: 'Stand-up begins', deliverAt: Date.now() + SCHEDULED_MS })
)
$('question').addEventListener('click', () =>
  sendKind('The first answer wins. Answer on the phone, and watch the tab.', {
    type: 'approval',
    title: 'Deploy version 7?',
    actions: ACTIONS
  })
)

function renderCurl() {
  const quote = (value) => value.replaceAll("'", "'\\''")
  const body = quote(JSON.stringify({ to: scene.user, ...content() }))
  const bearer = scene.publisher === '' ? '$(npx belfry token --user me --scope publish)' : scene.publisher
  const lines = (token) =>
    [
      `curl -X POST ${service}/v1/notifications \\`,
      `  -H "authorization: Bearer ${token}" \\`,
      '  -H "content-type: application/json" \\',
      `  -d '${body}'`
    ].join('\n')
  $('curl').textContent = lines(bearer.startsWith('$') ? bearer : `${bearer.slice(0, 12)}…`)
  $('curl').dataset.full = lines(bearer)
}

$('send').addEventListener('input', renderCurl)
$('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText($('curl').dataset.full)
  $('copy').textContent = 'Copied'
  setTimeout(() => {
    $('copy').textContent = 'Copy'
  }, 1500)
})

// Toasts: one per browser for any number of tabs

const TOAST_MS = 3000
let toastTimer

/** A toast with the tag of the one that is shown changes it. */
function toast({ title }, tag) {
  const toasts = $('toasts')
  const shown = toasts.firstElementChild
  const element = shown?.dataset.tag === tag ? shown : document.createElement('p')
  element.textContent = title
  element.dataset.tag = tag
  if (element !== shown) toasts.replaceChildren(element)
  clearTimeout(toastTimer)
  toastTimer = setTimeout(() => toasts.replaceChildren(), TOAST_MS)
}

// Scenes

async function enter(user) {
  scene.belfry?.disconnect()
  scene = { user, belfry: undefined, publisher: '', last: [], polling: false, asked: false }
  $('windows').replaceChildren()
  $('frames').replaceChildren()
  $('latency').textContent = '–'
  $('recall').disabled = true
  tabs = 1
  phones = 0
  for (const element of document.querySelectorAll('[data-user]')) element.textContent = user
  const tokens = await session(user)
  if (scene.user !== user) return
  const ready = tokens !== undefined || pasted.get() !== ''
  scene.publisher = tokens?.publisher ?? ''
  $('paste').hidden = tokens !== undefined
  for (const control of document.querySelectorAll('#send button, .kinds button'))
    control.disabled = tokens === undefined || control.id === 'recall'
  renderCurl()
  if (!ready) return
  const belfry = clientOf(user, 'This tab')
  scene.belfry = belfry
  $('bell').client = belfry
  belfry.on('notification', (ctx) => {
    if (!ctx.replay) chart.arrived()
    const trip = tripOf(ctx)
    if (trip !== undefined) $('latency').textContent = `${trip} ms`
  })
  belfry.on('toast', ({ notification, replay, tag }) => replay || toast(notification, tag))
  belfry.connect()
  await belfry.ready().catch(() => {})
  addScreen('tab')
  addScreen('phone')
}

$('users').addEventListener('change', ({ target }) => enter(target.value))
$('add-tab').addEventListener('click', () => addScreen('tab'))
$('add-phone').addEventListener('click', () => addScreen('phone'))
$('open-tab').addEventListener('click', () => open(`demo?user=${encodeURIComponent(scene.user)}`))

$('paste-form').addEventListener('submit', (event) => {
  event.preventDefault()
  const token = $('token').value.trim()
  try {
    const { sub } = JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')))
    if (typeof sub !== 'string') throw new TypeError('no sub')
    pasted.set(token)
    $('paste-problem').textContent = ''
    $('users').hidden = true
    enter(sub)
  } catch {
    $('paste-problem').textContent = 'This is not a token of a user.'
  }
})

const wanted = new URL(location.href).searchParams.get('user') ?? 'alice'
for (const radio of $('users').querySelectorAll('input')) radio.checked = radio.value === wanted
enter(wanted)
