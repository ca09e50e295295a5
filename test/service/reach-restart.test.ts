import t from 'tap'
import { ACTIONS, publish, quiet, startReach, webhooksOf } from '../fixtures/reach.ts'
import { answering } from '../fixtures/receiver.ts'
import { until } from '../fixtures/wait.ts'
import { call, startService, userToken } from '../helper.ts'

t.test('410 of the webhook stops it until a restart, also across the events', async (t) => {
  const { service, hooks, environment } = await startReach(t, 'embedded')
  hooks.behaviour = answering(410)
  await publish(service, { fallback: { after: 0 } })
  await until(() => hooks.received.length === 1)
  await publish(service, { fallback: { after: 0 } })
  await quiet(1500)
  t.equal(hooks.received.length, 1)
  await service.close()
  hooks.behaviour = answering(204)
  await startService(t, environment)
  await until(() => hooks.received.length === 3)
  const ids = webhooksOf(hooks).map(({ id }) => id)
  t.equal(ids[1] === ids[0] || ids[2] === ids[0], true, 'the first is sent again with its id')
})

t.test('what is owed survives a restart; WEBHOOK_EVENTS chooses', async (t) => {
  const { service, hooks, environment } = await startReach(t, 'embedded', { WEBHOOK_EVENTS: 'notification.fallback' })
  const id = await publish(service, { fallback: { after: 1 }, actions: ACTIONS })
  await publish(service, { ttl: 1 })
  await service.close()
  t.equal(hooks.received.length, 0)
  const again = await startService(t, environment)
  await until(() => hooks.received.length === 1)
  t.match(webhooksOf(hooks), [{ type: 'notification.fallback', data: { notification: { id } } }])
  await call(again, 'POST', `/v1/me/notifications/${id}/actions/approve`, undefined, { token: userToken('alice') })
  await quiet(1500)
  t.equal(hooks.received.length, 1)
})
