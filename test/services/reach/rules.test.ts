import t from 'tap'
import { readConfig } from '../../../config.ts'
import { publicationOf } from '../../../services/delivery/publish-request.ts'
import { presenceTimesOf, pushRuleOf, webhookEventsOf } from '../../../services/reach/settings.ts'

const NOW = 1_754_000_000_000

t.test('a notification names a part of its rules, and the settings or the defaults the rest', async (t) => {
  const rule = { afterMs: 7000, unless: 'seen' } as const
  const optionsOf = (more: object) => publicationOf({ to: 'alice', type: 'a', title: 'x', ...more }, NOW, false, rule).options
  t.equal(optionsOf({}), undefined, 'the store has the settings')
  t.same(optionsOf({ push: {} })?.push, rule)
  t.same(optionsOf({ push: { after: 10 } })?.push, { afterMs: 10_000, unless: 'seen' })
  t.same(optionsOf({ push: { after: 0 } })?.push, { afterMs: 0, unless: 'seen' })
  t.same(optionsOf({ push: { unless: 'read' } })?.push, { afterMs: 7000, unless: 'read' })
  t.equal(optionsOf({ push: false })?.push, false)
  t.same(optionsOf({ fallback: { after: 900 } })?.fallback, { afterMs: 900_000, unless: 'read' })
  t.same(optionsOf({ fallback: { after: 0.5, unless: 'delivered' } })?.fallback, { afterMs: 500, unless: 'delivered' })
})

t.test('without settings a push is due after three seconds unless the notification is delivered', async (t) => {
  t.same(pushRuleOf(readConfig({})), { afterMs: 3000, unless: 'delivered' })
  t.same(pushRuleOf(readConfig({ PUSH_AFTER_SECONDS: '0', PUSH_UNLESS: 'read' })), { afterMs: 0, unless: 'read' })
})

t.test('a WEBHOOK_URL gets all events, or those of WEBHOOK_EVENTS; presence is watched only if one of its events is sent', async (t) => {
  const url = { WEBHOOK_URL: 'https://hooks.example/', WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 1).toString('base64')}` }
  const all = ['notification.fallback', 'notification.answered', 'notification.expired', 'user.online', 'user.offline']
  t.same(webhookEventsOf(readConfig(url)), all)
  t.same(webhookEventsOf(readConfig({ ...url, WEBHOOK_EVENTS: 'user.offline,notification.expired' })).sort(), [
    'notification.expired',
    'user.offline'
  ])
  t.same(webhookEventsOf(readConfig({ WEBHOOK_EVENTS: 'user.offline' })), [], 'without an address')

  t.equal(presenceTimesOf(readConfig({})), undefined)
  t.equal(presenceTimesOf(readConfig({ ...url, WEBHOOK_EVENTS: 'notification.fallback' })), undefined)
  t.match(presenceTimesOf(readConfig(url)), { graceMs: 15_000 })
  t.match(presenceTimesOf(readConfig({ ...url, WEBHOOK_EVENTS: 'user.online', PRESENCE_GRACE_SECONDS: '2' })), { graceMs: 2000 })
})
