import './client/bell.js'
import { rateChart } from './chart.js'
import { clientOf, frames, pasted, post, service, session, tripOf } from './shared.js'

const FRAMES_KEPT = 200
const SCREENS_MAX = 6
const POLL_MS = 500
const BURST = 50

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

function toast({ title }) {
  const toasts = $('toasts')
  const element = Object.assign(document.createElement('p'), { textContent: title })
  toasts.append(element)
  while (toasts.children.length > 1) toasts.firstElementChild.remove()
  setTimeout(() => element.remove(), 3000)
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
  for (const control of $('send').querySelectorAll('button')) control.disabled = tokens === undefined || control.id === 'recall'
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
  belfry.on('toast', ({ notification, replay }) => replay || toast(notification))
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
