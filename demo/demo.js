import { rateChart } from './chart.js'
import { fail, mayPress, page, renderButtons, run, say, sayUntilNext } from './claims.js'
import { CodeTabs } from './code.js'
import { FrameLog } from './log.js'
import { PushClaim } from './push.js'
import { Screens } from './screens.js'
import { pasted, pause, post, publish, service, session, stateOf } from './shared.js'
import { FALLBACK_SECONDS, WebhookClaim } from './webhooks.js'

const BURST = 50
const WHILE_OUT = 12
const WHILE_DEAD = 20
const WHILE_DEAD_PAUSE_MS = 150
const PROGRESS_STEP = 10
const PROGRESS_MS = 500
const EXPIRES_SECONDS = 8
const SCHEDULED_MS = 10_000
const RECALL_MS = 2000
const POLL_MS = 400
const ACTIONS = [
  { action: 'approve', title: 'Approve' },
  { action: 'reject', title: 'Reject' }
]
/** Sent once to a user who has nothing yet, so that the screens are not empty. */
const FIRST = [
  { type: 'report.ready', title: 'The weekly report is ready', data: { body: 'Orders are up 12 %, refunds down to 2.' } },
  {
    type: 'order.delayed',
    title: 'Order 2041 is delayed',
    data: { body: 'The carrier reports a closed road. New estimate: tomorrow, 10:00.' }
  },
  {
    type: 'comment.new',
    title: 'Bob mentioned you in order 2038',
    data: { body: 'Can we swap the pallet before noon?', icon: `${service}/demo/bob.svg` }
  }
]

const $ = (id) => document.getElementById(id)
const user = new URL(location.href).searchParams.get('user') ?? 'alice'
const chart = rateChart($('chart'))
const code = new CodeTabs()
const log = new FrameLog($('frames'))
const screens = new Screens(crypto.randomUUID().slice(0, 8), {
  frame: (message) => log.add(message),
  arrived: ({ screen, replay }) => screen === 'Laptop' && !replay && chart.arrived(),
  changed: () => {
    renderListening()
    renderPlug()
  }
})
/** Letters of the nodes by their id, and the nodes; none on a single node. */
let nodes = []

// Scrolling areas and the panel of the tabs must be reachable by the keyboard.
for (const id of ['frames', 'hooks', 'panel']) $(id).tabIndex = 0
for (const element of document.querySelectorAll('[data-user]')) element.textContent = user

let hasSent = false
function renderListening() {
  if (!hasSent) $('send-number').textContent = `${screens.connected} screens are listening`
}

// One call, every screen

const content = () => ({ type: 'order.paid', title: $('title').value, data: { body: 'Fjord Books, 128 €, by card.' } })

async function send(tell, note, options, action) {
  hasSent = true
  if (action !== undefined) code.show(action, { to: user, ...options })
  const names = screens.plugged()
  const start = Date.now()
  let ids = []
  let isParked = false
  const published = publish({ user, ...options }).then((answer) => {
    ids = answer.ids
    isParked = answer.parked > 0
    screens.recheck()
  })
  const count = () => {
    const counts = names.map((name) => screens.count(name, ids))
    const done = counts.filter(({ shown }) => shown > 0)
    if (ids.length === 0) return
    if (done.length === 0) {
      if (isParked) tell(`waiting: over ${limit}`, note, 'wait')
      return
    }
    const last = Math.max(...done.map(({ at }) => at)) - start
    tell(
      `${done.length} of ${names.length} screens in ${Math.max(1, last)} ms`,
      isParked ? `It waited its turn: over ${limit}. ${note}` : note,
      done.length === names.length ? 'good' : 'wait'
    )
  }
  await published
  if (options.deliverAt === undefined) await screens.settle(names, () => ids, count)
  return ids
}

$('send').addEventListener('submit', (event) => {
  event.preventDefault()
  run([event.submitter ?? $('send').querySelector('button')], () =>
    send(sayUntilNext('send'), 'From the click to the last screen, with the call and the write to the store.', content(), 'send')
  )
})

$('progress').addEventListener('click', () =>
  run([$('progress')], async () => {
    const tell = sayUntilNext('send')
    const collapseKey = `export-${Date.now()}`
    for (let done = 0; done <= 100; done += PROGRESS_STEP) {
      const title = done < 100 ? `Export: ${done} %` : 'Export finished'
      const action = done === 0 ? 'progress' : undefined
      await send(tell, 'One row that counts up, and one unread notification.', { type: 'report.export', title, collapseKey }, action)
      await pause(PROGRESS_MS)
    }
  })
)

/** Follows a notification until the screens have taken it from their lists. */
async function untilGone(tell, names, id, note) {
  await screens.until(() => {
    const gone = names.filter((name) => screens.isGone(name, id)).length
    if (gone > 0) tell(`gone from ${gone} of ${names.length} screens`, note, gone === names.length ? 'good' : 'wait')
    return gone === names.length
  })
}

$('expiring').addEventListener('click', () =>
  run([$('expiring')], async () => {
    const tell = sayUntilNext('send')
    const names = screens.plugged()
    const options = { type: 'account.code', title: 'Your code is 4711', ttl: EXPIRES_SECONDS }
    const [id] = await send(tell, 'It leaves every screen by itself, also one without a network.', options, 'expiring')
    await untilGone(tell, names, id)
  })
)

$('recall').addEventListener('click', () =>
  run([$('recall')], async () => {
    const tell = sayUntilNext('send')
    const names = screens.plugged()
    const [id] = await send(tell, 'It is taken back in 2 seconds.', { type: 'order.paid', title: 'Sent to the wrong person' }, 'recall')
    await pause(RECALL_MS)
    await post('recall', { user, id })
    await untilGone(tell, names, id, 'A recalled one leaves every screen, and never appears on one that was away.')
  })
)

$('scheduled').addEventListener('click', () =>
  run([$('scheduled')], async () => {
    const tell = sayUntilNext('send')
    const deliverAt = Date.now() + SCHEDULED_MS
    const names = screens.plugged()
    const ids = await send(tell, '', { type: 'meeting.soon', title: 'Stand-up begins', deliverAt }, 'scheduled')
    tell('accepted: due in 10 s', 'The store keeps it until then, also if every node dies.', 'wait')
    await screens.settle(names, () => ids)
    const late = Math.max(...names.map((name) => screens.count(name, ids).at)) - deliverAt
    tell(`on time: ${Math.max(0, late)} ms after it was due`, undefined, 'good')
  })
)

$('question').addEventListener('click', () =>
  run([$('question')], () =>
    send(
      sayUntilNext('send'),
      'Answer on one screen, and watch the others: the first answer wins.',
      { type: 'order.refund', title: 'Refund 40 € to Café Lumen?', actions: ACTIONS },
      'question'
    )
  )
)

// A dead network loses nothing

/** Pulls the plug of the phone, sends 12, and waits until the other screens have them. */
async function pullPlug() {
  screens.plug('Phone', true)
  await screens.until(() => screens.statusOf('Phone').isOut === true)
  const others = screens.plugged()
  let ids = []
  const count = () => {
    const arrived = Math.min(...others.map((name) => screens.count(name, ids).shown))
    const here = screens.count('Phone', ids).shown
    say(
      'plug',
      `${WHILE_OUT} sent, ${here} on the phone`,
      `${arrived} are on the other screens. The service sent them to the phone too, into a dead connection.`,
      'wait'
    )
  }
  code.show('plug', { to: user, type: 'order.packed', title: 'Order 2044 is packed' })
  await post('publish', { user, type: 'order.packed', title: 'While the phone was out:', count: WHILE_OUT }).then((answer) => {
    ids = answer.ids
  })
  await screens.settle(others, () => ids, count)
  $('plug').textContent = 'Plug it in'
}

async function plugIn() {
  screens.plug('Phone', false)
  await screens.until(() => screens.caughtUp('Phone') !== undefined)
  $('plug').textContent = 'Pull the phone’s plug'
}

$('plug').addEventListener('click', () => run([$('plug')], screens.statusOf('Phone').isOut ? plugIn : pullPlug))

/** Keeps the claim in step with the phone, whose own button pulls the plug too. */
function renderPlug() {
  const { isOut } = screens.statusOf('Phone')
  const caught = screens.caughtUp('Phone')
  if (!$('plug').disabled) $('plug').textContent = isOut ? 'Plug it in' : 'Pull the phone’s plug'
  if (!isOut && caught !== undefined)
    say('plug', `caught up ${caught.count}, ${caught.twice} twice`, 'The phone resumed after the last row that it had.', 'good')
}

// A burst does not flood anyone

/** The most notifications that a user gets, in words; '' without a limit. */
let limit = ''

function showLimit({ max, windowMs }) {
  const seconds = windowMs / 1000
  limit = max > 0 ? `${max} ${seconds === 1 ? 'a second' : `in ${seconds} s`}` : ''
  code.setLimit(limit)
  chart.setLimit({ perSecond: max / seconds, text: limit })
  if (limit === '') $('burst-title').textContent = 'A burst stays in order'
  say('burst', limit === '' ? 'No limit: RATE_LIMIT_MAX is 0' : `At most ${limit}`)
}

async function parked() {
  return (await stateOf(user))?.parked ?? 0
}

async function burst() {
  const names = screens.plugged()
  code.show('burst', { to: user, type: 'sync.done', title: 'Sync 1 finished' })
  const { ids } = await post('publish', { user, type: 'sync.done', title: 'Sync', count: BURST })
  let isOver = false
  const settled = screens
    .settle(names, () => ids)
    .then(() => {
      isOver = true
    })
  while (!isOver) {
    const waiting = await parked().catch(() => 0)
    if (!isOver && limit !== '') say('burst', `${waiting} waiting: over ${limit}`, undefined, 'wait')
    await Promise.race([settled, pause(POLL_MS)])
  }
  const counts = names.map((name) => screens.count(name, ids))
  const shown = Math.min(...counts.map(({ shown }) => shown))
  const twice = counts.reduce((sum, { twice }) => sum + twice, 0)
  const inOrder = counts.every(({ order }) => order.join() === ids.join())
  say(
    'burst',
    `${shown} of ${BURST}, ${inOrder ? 'in order' : 'out of order'}, ${twice} twice`,
    undefined,
    inOrder && twice === 0 ? 'good' : 'wait'
  )
}

$('burst').addEventListener('click', () => run([$('burst')], burst))

// A node dies, nothing happens

/** A dead node has no id, nor has the node of a tab without a connection of its own. */
const nodeName = (id) => (id ? (nodes.find((node) => node.id === id)?.name ?? '') : '')

async function pollNodes() {
  const reply = await fetch(`${service}/demo/cluster`).catch(() => undefined)
  if (reply?.ok) ({ nodes } = await reply.json())
  screens.nodeName = nodeName
  screens.renderAll()
  renderNodes()
}

function renderNodes() {
  $('nodes').hidden = nodes.length === 0
  for (const { name, isUp } of nodes) {
    const id = `kill-${name}`
    let button = $(id)
    if (button === null) {
      button = Object.assign(document.createElement('button'), { id, type: 'button' })
      button.addEventListener('click', () => kill(name))
      $('nodes').append(button)
      say('kill', 'Two nodes are up', 'SIGKILL, in the middle of 20 notifications. The node comes back by itself.')
    }
    button.textContent = isUp ? `Kill node ${name}` : `Node ${name} is dead`
    button.disabled = !isUp || killing || !mayPress(button)
  }
}

let killing = false
async function kill(name) {
  killing = true
  renderNodes()
  await run([], async () => {
    const names = screens.plugged()
    const ids = []
    const count = () => {
      const arrived = Math.min(...names.map((screen) => screens.count(screen, ids).shown))
      say('kill', `${arrived} of ${ids.length} on every screen`, `Node ${name} was killed with SIGKILL after the third.`, 'wait')
    }
    const stop = new AbortController()
    const counting = screens.until(() => {
      count()
      return stop.signal.aborted
    })
    for (let sent = 1; sent <= WHILE_DEAD; sent++) {
      const published = publish({ user, type: 'order.packed', title: `Sent around the kill: ${sent} of ${WHILE_DEAD}` })
      if (sent === 4) await post('cluster/kill', { node: name })
      ids.push(...(await published).ids)
      await pause(WHILE_DEAD_PAUSE_MS)
    }
    await screens.settle(names, () => ids)
    stop.abort()
    screens.recheck()
    await counting
    const counts = names.map((screen) => screens.count(screen, ids))
    const shown = Math.min(...counts.map(({ shown }) => shown))
    const twice = counts.reduce((sum, { twice }) => sum + twice, 0)
    say(
      'kill',
      `${shown} of ${WHILE_DEAD} on ${names.length} screens, ${twice} twice`,
      `Node ${name} was killed with SIGKILL after the third.`,
      twice === 0 ? 'good' : 'wait'
    )
  })
  killing = false
  renderNodes()
}

// One call, a whole team

const TEAM = `team-of-${user}`
const teamContent = () => ({ type: 'team.lunch', title: 'Lunch is at noon today', data: { body: 'The whole team gets this one.' } })
let team

async function sendToTeam() {
  code.show('team', { to: { topic: TEAM }, ...teamContent() })
  team ??= screens.showTeam($('desks'), user)
  const { users, names: desks } = team
  await screens.until(() => desks.every((name) => screens.statusOf(name).state === 'connected'))
  const names = [...screens.plugged(), ...desks]
  const start = Date.now()
  const { ids } = await publish({ topic: TEAM, members: [user, ...users], ...teamContent() }, 'team')
  const count = () => {
    const done = names.map((name) => screens.count(name, ids)).filter(({ shown }) => shown > 0)
    const lastMs = Math.max(1, Math.max(start, ...done.map(({ at }) => at)) - start)
    const state = done.length === names.length ? 'good' : 'wait'
    say('team', `${done.length} of ${names.length} screens, ${users.length + 1} users, ${lastMs} ms`, undefined, state)
  }
  await screens.settle(names, () => ids, count)
}

$('team').addEventListener('click', () => run([$('team')], sendToTeam))

// Users who do not look

function openScreens() {
  page.isClosed = false
  screens.show($('stage'), user)
  renderButtons()
}

function closeScreens() {
  page.isClosed = true
  team = undefined
  const none = (text) => Object.assign(document.createElement('p'), { className: 'none', textContent: text })
  screens.close()
  $('stage').replaceChildren(none('Every screen is closed.'))
  $('desks').replaceChildren(none('The screens of three colleagues'))
  renderButtons()
  renderListening()
}

const push = new PushClaim({
  user,
  open: openScreens,
  close: closeScreens,
  until: (test) => screens.until(test),
  count: (ids) => screens.countDevices(ids),
  show: () => code.show('push', { to: user, ...EXAMPLES.push() })
})
const webhooks = new WebhookClaim({ user, show: () => code.show('fallback', { to: user, ...EXAMPLES.fallback() }) })

// Code

const EXAMPLES = {
  send: content,
  progress: () => ({ type: 'report.export', title: 'Export: 40 %', collapseKey: 'export-77' }),
  expiring: () => ({ type: 'account.code', title: 'Your code is 4711', ttl: EXPIRES_SECONDS }),
  scheduled: () => ({ type: 'meeting.soon', title: 'Stand-up begins', deliverAt: Date.now() + SCHEDULED_MS }),
  question: () => ({ type: 'order.refund', title: 'Refund 40 € to Café Lumen?', actions: ACTIONS }),
  recall: () => ({ type: 'order.paid', title: 'Sent to the wrong person' }),
  plug: () => ({ type: 'order.packed', title: 'Order 2044 is packed' }),
  burst: () => ({ type: 'sync.done', title: 'Sync 1 finished' }),
  team: () => ({ to: { topic: TEAM }, ...teamContent() }),
  push: () => ({ type: 'order.paid', title: 'Order 2045 is paid', ref: '/orders/2045', push: { after: 0 } }),
  fallback: () => ({ type: 'invoice.due', title: 'Invoice 77 is due', fallback: { after: FALLBACK_SECONDS } })
}

for (const link of document.querySelectorAll('a[data-code]')) {
  link.addEventListener('click', () => code.show(link.dataset.code, { to: user, ...EXAMPLES[link.dataset.code]() }))
}
$('title').addEventListener('input', () => code.show('send', { to: user, ...content() }))
$('clear').addEventListener('click', () => log.clear())

// Start

async function start() {
  const tokens = await session(user)
  page.isReady = tokens !== undefined
  code.setToken(tokens?.publisher ?? '')
  if (page.isReady) showLimit(tokens.limit)
  code.show('send', { to: user, ...content() })
  $('paste').hidden = page.isReady
  renderButtons()
  if (!page.isReady) {
    for (const claim of ['push', 'hook'])
      say(claim, 'Not from this page', 'This service has a secret of its own, with which the page publishes nothing.')
  }
  if (!page.isReady && pasted.get() === '') return
  screens.show($('stage'), user)
  if (page.isReady) {
    for (const claim of [push, webhooks]) claim.start().catch(fail)
    const state = await stateOf(user)
    if (state?.isEmpty) for (const first of FIRST) await publish({ user, ...first }).catch(fail)
  }
  await pollNodes()
  if (nodes.length > 0) setInterval(pollNodes, POLL_MS)
}

$('paste-form').addEventListener('submit', (event) => {
  event.preventDefault()
  const token = $('token').value.trim()
  try {
    const { sub } = JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')))
    if (typeof sub !== 'string') throw new TypeError('no sub')
    pasted.set(token)
    location.search = new URLSearchParams({ user: sub })
  } catch {
    $('paste-problem').textContent = 'This is not a token of a user.'
  }
})

start().catch(fail)
