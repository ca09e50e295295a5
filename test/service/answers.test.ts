import t from 'tap'
import type { AnswerCommand } from '../../services/store/store.ts'
import { startCluster } from '../cluster/three-nodes.ts'
import { isProblem } from '../fixtures/problem.ts'
import { until } from '../fixtures/wait.ts'
import { environmentOf, STORES, watch } from '../fixtures/watcher.ts'
import { call, ready, serviceToken, startService, type TestClient, type TestService, userToken } from '../helper.ts'

const NO_LIMIT = { RATE_LIMIT_MAX: '0' }
const ACTIONS = [
  { action: 'approve', title: 'Approve' },
  { action: 'reject', title: 'Reject' }
]
const QUESTION = { type: 'expense', title: 'Bob asks for 40 €', actions: ACTIONS }
const MINE = { token: userToken('alice') }

async function ask(service: TestService, more: Record<string, unknown> = {}): Promise<string> {
  return (await call(service, 'POST', '/v1/notifications', { to: 'alice', ...QUESTION, ...more })).body.id
}

function answer(service: TestService, id: string, action: string, body?: unknown, options = MINE): ReturnType<typeof call> {
  return call(service, 'POST', `/v1/me/notifications/${id}/actions/${action}`, body, options)
}

/** Answers by a link, without a token. */
function answerByLink(service: TestService, link: unknown, action = 'approve'): ReturnType<typeof call> {
  return call(service, 'POST', '/v1/answers', { link, action }, { token: '' })
}

async function linkOf(service: TestService, id: string, user = 'alice'): Promise<string> {
  return (await call(service, 'GET', `/v1/users/${user}/notifications/${id}`, undefined, { token: serviceToken('publish') })).body
    .answerLink
}

for (const store of STORES) {
  t.test(`${store}: the first answer over REST wins, and every device learns it`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
    const tab = await ready(t, service, 'alice', { deviceId: 'tab', acks: true })
    const page = await watch(t, service, 'alice', 'sse', 'page')
    const id = await ask(service, { ttl: 60 })
    await tab.next('notification')
    const won = await answer(service, id, 'approve', { deviceId: 'phone' })
    const given = { action: 'approve', answeredAt: won.body.answeredAt, deviceId: 'phone' }
    t.same([won.status, won.body], [200, { id, ...given }])
    t.ok(Math.abs(given.answeredAt - Date.now()) < 5000)
    const frame = await tab.next('answered')
    t.same(frame, { type: 'answered', eventId: frame.eventId, id, ...given, unread: 0, unseen: 0 })
    t.same(await page.nth('answered', 1), frame, 'the same on an event stream')
    t.same((await answer(service, id, 'approve', { deviceId: 'phone' })).body, { id, ...given }, 'the same device may repeat its answer')
    for (const [action, body] of [
      ['reject', { deviceId: 'phone' }],
      ['approve', { deviceId: 'laptop' }],
      ['approve', undefined]
    ] as const) {
      const lost = await answer(service, id, action, body)
      isProblem(t, lost, 409, 'ALREADY_ANSWERED')
      t.same(lost.body.answer, given)
    }
    tab.send({ type: 'answer', ref: 1, id, action: 'reject' })
    t.match(await tab.next('error'), { ref: 1, code: 'BELFRY_ERR_ALREADY_ANSWERED', temporary: false, answer: given })
    for (const action of ['approve,reject', '-', '']) {
      tab.send({ type: 'answer', ref: 2, id: await ask(service), action })
      t.match(await tab.next('error'), { ref: 2, code: 'BELFRY_ERR_INVALID_REQUEST' })
    }
    isProblem(t, await answer(service, id, 'maybe'), 400, 'INVALID_REQUEST', 'not offered')
    isProblem(t, await answer(service, id, 'May be'), 400, 'INVALID_REQUEST', 'no name of an action')
    isProblem(t, await answer(service, 'unknown', 'approve'), 404, 'NOT_FOUND')
    isProblem(t, await answer(service, id, 'approve', undefined, { token: userToken('bob') }), 404, 'NOT_FOUND', 'of another user')
    for (const body of [{ deviceId: '' }, { deviceId: 7 }, { device: 'x' }, [], 'x']) {
      isProblem(t, await answer(service, id, 'approve', JSON.stringify(body)), 400, 'INVALID_REQUEST', JSON.stringify(body))
    }
    const plain = (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 't' })).body.id
    isProblem(t, await answer(service, plain, 'approve'), 400, 'INVALID_REQUEST', 'a notification without actions')
    const shared = await answer(service, await ask(service), 'reject')
    t.match(shared.body, { action: 'reject', deviceId: 'default' }, 'without a body the device is the shared one')

    const found = await call(service, 'GET', `/v1/me/notifications/${id}`, undefined, MINE)
    t.match(found.body, { state: 'read', answer: given, actions: ACTIONS })
    t.notOk('answerLink' in found.body, 'a link is for services')
    const late = await ready(t, service, 'alice', { deviceId: 'late', lastEventId: 'earliest' })
    t.match(
      late.all('notification').find(({ notification }) => notification.id === id),
      { replay: true, state: 'read', answer: given }
    )
    t.match((await call(service, 'GET', '/metrics')).body, /^belfry_answered_total 2$/m, 'first answers only')
  })

  t.test(`${store}: an answer link answers its notification once, as the device link`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
    const tab = await ready(t, service, 'alice', { deviceId: 'tab', acks: true })
    const id = await ask(service)
    const link = await linkOf(service, id)
    t.match(link, /^[\w-]+$/)
    // As a mail scanner does, and a browser that fetches ahead.
    const headers = { 'sec-purpose': 'prefetch', 'x-http-method-override': 'POST' }
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      const scanned = await fetch(`${service.url}/v1/answers?link=${link}&action=approve`, { method, headers })
      t.equal(scanned.status, 404, `${method} does not answer`)
    }
    t.equal((await call(service, 'GET', `/v1/me/notifications/${id}`, undefined, MINE)).body.state, 'unread')
    t.same(tab.all('answered'), [])
    isProblem(t, await answerByLink(service, link, 'maybe'), 400, 'INVALID_REQUEST', 'not offered')
    const { status, body } = await answerByLink(service, link)
    t.same([status, body], [200, { id, action: 'approve', answeredAt: body.answeredAt, deviceId: 'link' }])
    t.match(await tab.next('answered'), { id, action: 'approve', deviceId: 'link' })
    t.same((await answerByLink(service, link)).body, body, 'pressed twice')
    const other = await answerByLink(service, link, 'reject')
    isProblem(t, other, 409, 'ALREADY_ANSWERED')
    t.match(other.body.answer, { action: 'approve', deviceId: 'link' })
    t.equal(
      await linkOf(service, (await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 't' })).body.id),
      undefined
    )
    for (const bad of [
      { link },
      { action: 'approve' },
      { link, action: 'No' },
      { link: '', action: 'approve' },
      { link, action: 'approve', more: 1 }
    ]) {
      isProblem(t, await call(service, 'POST', '/v1/answers', bad, { token: '' }), 400, 'INVALID_REQUEST', JSON.stringify(bad))
    }
  })

  t.test(`${store}: the link of an answered notification, which does not expire, outlives its expiresAt`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
    const expiresAt = Date.now() + 500
    const id = await ask(service, { expiresAt })
    const before = await linkOf(service, id)
    const { body } = await answerByLink(service, before)
    const after = await linkOf(service, id)
    await until(() => service.app.store.now() > expiresAt, 'the expiry')
    isProblem(t, await answerByLink(service, before), 404, 'NOT_FOUND', 'a link keeps the expiry with which it was signed')
    for (const link of [after, await linkOf(service, id)]) t.same((await answerByLink(service, link)).body, body)
    isProblem(t, await answerByLink(service, after, 'reject'), 409, 'ALREADY_ANSWERED')
  })

  t.test(`${store}: forged, foreign, expired, recalled, replaced and erased links get the same 404, by the same steps`, async (t) => {
    const environment = await environmentOf(t, store)
    const service = await startService(t, { ...NO_LIMIT, ...environment })
    const foreign = await startService(t, NO_LIMIT)
    const id = await ask(service)
    const link = await linkOf(service, id)
    const flip = (text: string, at: number): string => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
    const recalledId = await ask(service)
    const recalled = await linkOf(service, recalledId)
    await call(service, 'DELETE', `/v1/users/alice/notifications/${recalledId}`)
    const replaced = await linkOf(service, await ask(service, { collapseKey: 'k' }))
    await ask(service, { collapseKey: 'k' })
    const expiring = await ask(service, { expiresAt: Date.now() + 400 })
    const expired = await linkOf(service, expiring)
    const erased = await linkOf(service, await ask(service, { to: 'gone' }), 'gone')
    t.equal((await call(service, 'DELETE', '/v1/users/gone')).status, 204)
    await until(async () => (await call(service, 'GET', `/v1/users/alice/notifications/${expiring}`)).status === 404, 'the expiry')
    const bad: Record<string, string> = {
      'another HMAC': flip(link, 0),
      'another expiry': flip(link, 44),
      'another id': flip(link, 56),
      'another user': flip(link, link.length - 3),
      'cut off': link.slice(0, -4),
      'the HMAC alone': link.slice(0, 43),
      'other unused bits or longer': `${link}A`,
      'other characters': `${link.slice(0, 10)}!${link.slice(10)}`,
      'no link': 'x',
      'of another service': await linkOf(foreign, await ask(foreign)),
      expired,
      recalled,
      replaced,
      erased
    }
    const { store: used } = service.app
    const steps: string[] = []
    const { answer: answerStep } = used
    used.answer = (command: AnswerCommand) => {
      steps.push(command.byLink ? 'answer by a link' : 'answer')
      return answerStep.call(used, command)
    }
    const { secret } = used
    used.secret = (name: string) => {
      steps.push('secret')
      return secret.call(used, name)
    }
    const bodies = new Set<string>()
    for (const [name, forged] of Object.entries(bad)) {
      steps.length = 0
      const answer = await answerByLink(service, forged)
      isProblem(t, answer, 404, 'NOT_FOUND', name)
      bodies.add(JSON.stringify({ ...answer.body, instance: '' }))
      t.same(steps, ['secret', 'answer by a link'], `${name}: no early return`)
    }
    t.equal(bodies.size, 1, 'one body for all')
    t.match((await call(service, 'GET', `/v1/me/notifications/${id}`, undefined, MINE)).body, { state: 'unread' })
    t.equal((await answerByLink(service, link)).status, 200, 'the link itself is valid')
  })

  t.test(`${store}: receipts name the devices that have received a notification`, async (t) => {
    const service = await startService(t, { ...NO_LIMIT, ...(await environmentOf(t, store)) })
    const publisher = { token: serviceToken('publish') }
    const receipts = async (id: string) =>
      (await call(service, 'GET', `/v1/users/alice/notifications/${id}/receipts`, undefined, publisher)).body
    const phone = await ready(t, service, 'alice', { deviceId: 'phone' })
    const tab = await ready(t, service, 'alice', { deviceId: 'tab' })
    const id = await ask(service)
    const { eventId } = await phone.next('notification')
    t.same(await receipts(id), {
      id,
      state: 'unread',
      answer: null,
      devices: [
        { deviceId: 'phone', received: false, lastAckAt: (await receipts(id)).devices[0].lastAckAt },
        { deviceId: 'tab', received: false, lastAckAt: (await receipts(id)).devices[1].lastAckAt }
      ],
      push: [],
      fallback: null
    })
    const before = Date.now()
    phone.send({ type: 'ack', eventId })
    phone.send({ type: 'answer', ref: 1, id, action: 'approve' })
    await tab.next('answered')
    await phone.until(() => phone.all('ok')[0])
    const after = await until(async () => {
      const body = await receipts(id)
      return body.devices[0].received && body
    }, 'the receipt')
    t.match(after, {
      state: 'read',
      answer: { action: 'approve', deviceId: 'phone', answeredAt: Number },
      devices: [
        { deviceId: 'phone', received: true },
        { deviceId: 'tab', received: false }
      ]
    })
    t.ok(after.devices[0].lastAckAt >= before - 1)
    isProblem(t, await call(service, 'GET', '/v1/users/alice/notifications/unknown/receipts', undefined, publisher), 404, 'NOT_FOUND')
  })
}

t.test('five devices on three nodes answer at once: one wins, and four learn the winner', async (t) => {
  const { nodes } = await startCluster(t, NO_LIMIT)
  for (let round = 0; round < 5; round++) {
    const user = `user${round}`
    const devices: TestClient[] = []
    for (let n = 0; n < 5; n++) devices.push(await ready(t, nodes[n % 3] as TestService, user, { deviceId: `d${n}`, acks: true }))
    const { body } = await call(nodes[0], 'POST', '/v1/notifications', { to: user, ...QUESTION })
    for (const device of devices) await device.next('notification')
    for (const [n, device] of devices.entries()) {
      device.send({ type: 'answer', ref: n, id: body.id, action: n % 2 === 0 ? 'approve' : 'reject' })
    }
    const results = await Promise.all(
      devices.map((device) => device.until(() => device.all('ok')[0] ?? device.all('error')[0], 'a result'))
    )
    const winners = results.flatMap((result) => (result.type === 'ok' ? [result] : []))
    t.equal(winners.length, 1, 'one wins')
    const { action, answeredAt, deviceId } = winners[0] ?? {}
    for (const [n, result] of results.entries()) {
      if (result.type === 'ok') t.equal(deviceId, `d${n}`)
      else t.match(result, { code: 'BELFRY_ERR_ALREADY_ANSWERED', answer: { action, answeredAt, deviceId } })
    }
    for (const device of devices) {
      t.match(await device.until(() => device.all('answered')[0]), { id: body.id, action, answeredAt, deviceId, unread: 0, unseen: 0 })
      t.equal(device.all('answered').length, 1)
    }
  }
  const counted = nodes.map(({ app }) => app.counters.answered)
  t.equal(
    counted.reduce((sum, count) => sum + count, 0),
    5
  )
})
