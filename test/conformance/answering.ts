import { rowKind } from '../../services/store/row.ts'
import { until } from '../fixtures/wait.ts'
import { idOf, marked, pageOf, texts } from './stage.ts'
import type { Example } from './store.ts'

const actions = ['approve', 'reject']

export const answering: Example[] = [
  {
    name: 'only the name of one action answers, whatever text a frame has',
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1, { options: { expiresAt: stage.clock.now + 60_000 } })
      await stage.send(2, { options: { actions: ['-'] } })
      await stage.send(3, { options: { actions: ['approve', 'reject', '-'] } })
      const answer = async (number: number, action: string): Promise<string> =>
        (await stage.store.answer({ user, id: idOf(number), action, deviceId: 'phone' })).status
      for (const action of ['-', '.', '']) t.equal(await answer(1, action), 'notOffered')
      for (const action of ['approve,reject', 'approve ', '', ',', '.', 'reject,-']) t.equal(await answer(3, action), 'notOffered')
      t.equal(await answer(2, '-'), 'answered')
      t.equal(await answer(3, '-'), 'answered')
    }
  },
  {
    name: 'the first answer wins: it marks the notification as read and appends a row; later answers resolve with the first',
    run: async (t, stage) => {
      const { user } = stage
      await stage.attach({ at: 'device' })
      await stage.send(1, { options: { actions } })
      await stage.send(2)
      const answeredAt = stage.clock.now
      const answer = { action: 'approve', answeredAt, deviceId: 'phone' }
      t.same(await stage.store.answer({ user, id: idOf(1), action: 'approve', deviceId: 'phone' }), {
        status: 'answered',
        answer,
        replayed: false
      })
      stage.clock.advance(100)
      t.same(await stage.other.answer({ user, id: idOf(1), action: 'reject', deviceId: 'desk' }), { status: 'already', answer })
      t.same(await stage.other.answer({ user, id: idOf(1), action: 'approve', deviceId: 'desk' }), { status: 'already', answer })
      t.same(await stage.other.answer({ user, id: idOf(1), action: 'reject', deviceId: 'phone' }), { status: 'already', answer })
      t.same(await stage.store.answer({ user, id: idOf(1), action: 'approve', deviceId: 'phone' }), {
        status: 'answered',
        answer,
        replayed: true
      })
      const { rows, states, answers, unread } = await stage.log()
      t.same(rows.map(rowKind), ['n', 'n', 'a'])
      t.equal(
        texts(rows)[2]?.slice(42),
        `"id":"${idOf(1)}","action":"approve","answeredAt":${answeredAt},"deviceId":"phone","unread":1,"unseen":1}`
      )
      t.same([...states], [[idOf(1), 'read']])
      t.same([...answers], [[idOf(1), answer]])
      t.equal(unread, 1)
      await until(() => stage.wakes().at(-1)?.offset === 3, 'the wake-up of the answer')
    }
  },
  {
    name: 'the inbox and find return the answer',
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1, { options: { actions } })
      await stage.send(2, { options: { actions } })
      await stage.store.answer({ user, id: idOf(1), action: 'reject', deviceId: 'a "b" ü\n' })
      const answer = { action: 'reject', answeredAt: stage.clock.now, deviceId: 'a "b" ü\n' }
      const { items } = await pageOf(stage.store, { user, states: undefined, before: undefined, limit: 10 })
      t.same(
        items.map((item) => item.answer),
        [undefined, answer]
      )
      t.match(await stage.store.find(user, idOf(1)), { in: 'log', item: { state: 'read', answer } })
      t.match(JSON.parse(`{${(texts((await stage.log()).rows)[2] as string).slice(42)}`), { ...answer, id: idOf(1), unread: 1 })
    }
  },
  {
    name: 'an answer to an unknown notification, or with an action that was not offered, is refused',
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1, { options: { actions } })
      await stage.send(2)
      const deviceId = 'phone'
      t.same(await stage.store.answer({ user, id: idOf(1), action: 'later', deviceId }), { status: 'notOffered' })
      t.same(await stage.store.answer({ user, id: idOf(2), action: 'approve', deviceId }), { status: 'notOffered' })
      t.same(await stage.store.answer({ user, id: idOf(3), action: 'approve', deviceId }), { status: 'unknown' })
      await stage.store.retract(user, idOf(1), 'recalled')
      t.same(await stage.store.answer({ user, id: idOf(1), action: 'approve', deviceId }), { status: 'unknown' })
      t.same((await stage.log()).rows.map(rowKind), ['x', 'n', 'r'])
    }
  },
  {
    name: 'an answer by a link searches no log: a notification without actions, which has no link, is as unknown as one that was recalled',
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1, { options: { actions } })
      await stage.send(2)
      const by = { user, deviceId: 'link', byLink: true }
      t.same(await stage.store.answer({ ...by, id: idOf(2), action: 'approve' }), { status: 'unknown' })
      t.same(await stage.store.answer({ ...by, id: idOf(3), action: 'approve' }), { status: 'unknown' })
      t.same(await stage.store.answer({ ...by, id: idOf(1), action: 'later' }), { status: 'notOffered' })
      t.match(await stage.store.answer({ ...by, id: idOf(1), action: 'approve' }), { status: 'answered', replayed: false })
      t.match(await stage.store.answer({ ...by, id: idOf(1), action: 'approve' }), { status: 'answered', replayed: true })
      t.same((await stage.log()).rows.map(rowKind), ['n', 'n', 'a'])
    }
  },
  {
    name: 'an answered notification does not expire, and can be replaced',
    run: async (t, stage) => {
      const { user } = stage
      const options = { actions, expiresAt: stage.clock.now + 1000, collapseKey: 'k' }
      await stage.send(1, { options })
      await stage.store.answer({ user, id: idOf(1), action: 'approve', deviceId: 'phone' })
      stage.clock.advance(1000)
      t.match(await stage.store.advance(user), { expired: 0, nextAt: 0 })
      t.equal((await stage.log()).answers.size, 1)
      await stage.send(2, { options: { ...options, expiresAt: 0 } })
      const { answers, rows } = await stage.log()
      t.same(rows.map(rowKind), ['x', 'a', 'n'])
      t.equal(answers.size, 0)
      t.match(await stage.store.answer({ user, id: idOf(2), action: 'reject', deviceId: 'phone' }), { status: 'answered', replayed: false })
    }
  },
  {
    name: 'an answer after the expiry is refused as unknown',
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1, { options: { actions, expiresAt: stage.clock.now + 1000 } })
      stage.clock.advance(1000)
      t.same(await stage.store.answer({ user, id: idOf(1), action: 'approve', deviceId: 'phone' }), { status: 'unknown' })
    }
  },
  {
    name: 'an answer to a read or archived notification keeps the unread count, and an archived one stays archived',
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1, { options: { actions } })
      await stage.send(2, { options: { actions } })
      await marked(stage.store, { user, target: { ids: [idOf(1)] }, state: 'read' })
      await marked(stage.store, { user, target: { ids: [idOf(2)] }, state: 'archived' })
      for (const number of [1, 2]) await stage.store.answer({ user, id: idOf(number), action: 'approve', deviceId: 'phone' })
      const { states, unread } = await stage.log()
      t.equal(unread, 0)
      t.same([...states].sort(), [
        [idOf(1), 'read'],
        [idOf(2), 'archived']
      ])
    }
  },
  {
    name: 'of five answers at the same time, spread over the nodes, one wins',
    run: async (t, stage) => {
      const { user, stores } = stage
      await stage.send(1, { options: { actions } })
      const results = await Promise.all(
        [0, 1, 2, 3, 4].map((number) =>
          (stores[number % stores.length] ?? stage.store).answer({
            user,
            id: idOf(1),
            action: actions[number % 2] as string,
            deviceId: `device ${number}`
          })
        )
      )
      t.equal(results.filter(({ status }) => status === 'answered').length, 1)
      const winner = results.flatMap((result) => (result.status === 'answered' ? [result.answer] : []))[0]
      const told = results.flatMap((result) => (result.status === 'already' ? [result.answer] : []))
      t.same(told, [winner, winner, winner, winner])
    }
  },
  {
    name: 'answers survive a restart, and are removed with their rows',
    settings: { retentionMs: 2000 },
    restarts: true,
    alone: true,
    run: async (t, stage) => {
      const { user } = stage
      await stage.send(1, { options: { actions } })
      await stage.store.answer({ user, id: idOf(1), action: 'approve', deviceId: 'phone' })
      await stage.restart()
      t.match(await stage.store.answer({ user, id: idOf(1), action: 'reject', deviceId: 'desk' }), { status: 'already' })
      stage.clock.advance(2000)
      t.match(await stage.store.answer({ user, id: idOf(1), action: 'reject', deviceId: 'desk' }), { status: 'unknown' })
    }
  }
]
