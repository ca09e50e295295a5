import t from 'tap'
import { until } from '../fixtures/wait.ts'
import { call, connect, startService, userToken } from '../helper.ts'

t.test('a publish reaches every device; a device that returns gets the rows it missed', async (t) => {
  const service = await startService(t)
  const laptop = await connect(t, service, 'alice', { deviceId: 'laptop', acks: true })
  const hello = await laptop.next('hello')
  t.match(hello, { user: 'alice', deviceId: 'laptop', unread: 0, resume: { status: 'fresh', pending: 0 } })
  await laptop.next('caughtUp')

  const published = await call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'One', data: { n: 1 } })
  t.equal(published.status, 202)
  t.match(published.body, { durability: 'fsync', results: [{ user: 'alice', status: 'accepted', nodes: 1 }] })
  const live = await laptop.next('notification')
  t.equal(live.eventId, published.body.results[0].eventId)
  t.equal(live.replay, undefined)
  t.match(live.notification, { id: published.body.id, type: 'a', title: 'One', data: { n: 1 } })
  await until(async () => (await call(service, 'GET', '/v1/users/alice/queue')).body.devices[0]?.lag === 0)
  await laptop.close()

  await until(async () => (await call(service, 'GET', '/v1/users/alice/connections')).body.items.length === 0)
  const missed = await call(service, 'POST', '/v1/notifications', { to: ['alice', 'bob'], type: 'b', title: 'Two' })
  t.same(
    missed.body.results.map(({ nodes }: { nodes: number }) => nodes),
    [0, 0]
  )
  const back = await connect(t, service, 'alice', { deviceId: 'laptop', acks: true })
  t.match(await back.next('hello'), { resume: { status: 'resumed', pending: 1 } })
  t.match(await back.next('notification'), { replay: true, notification: { title: 'Two' } })
  await back.next('caughtUp')

  const plain = await connect(t, service, 'bob', { protocols: [], token: '' }).catch(() => undefined)
  t.equal((await plain?.whenClosed())?.reason, 'token_missing')
  t.equal(plain?.closed?.code, 4001)
})

t.test('a plain WebSocket with a token in the URL gets pending and live notifications', async (t) => {
  const service = await startService(t)
  await call(service, 'POST', '/v1/notifications', { to: 'carol', type: 'a', title: 'Pending' })
  const { WebSocket } = await import('ws')
  const socket = new WebSocket(`${service.socketUrl}/v1/ws?token=${userToken('carol')}`)
  t.teardown(() => socket.terminate())
  const titles: string[] = []
  const two = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      const frame = JSON.parse(String(data))
      if (frame.type === 'caughtUp') void call(service, 'POST', '/v1/notifications', { to: 'carol', type: 'a', title: 'Live' })
      if (frame.type === 'notification' && titles.push(frame.notification.title) === 2) resolve()
    })
  })
  await two
  t.same(titles, ['Pending', 'Live'])
})
