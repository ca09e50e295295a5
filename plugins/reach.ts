import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { CallFormat } from '../services/reach/call-format.ts'
import { Courier } from '../services/reach/courier.ts'
import { describeFailure } from '../services/reach/failure-reports.ts'
import { HttpSender } from '../services/reach/http-sender.ts'
import { CALLS_PER_LANE } from '../services/reach/lane.ts'
import { PushEndpoints } from '../services/reach/push-endpoint.ts'
import { PushFormat } from '../services/reach/push-format.ts'
import { PushSubscriptions } from '../services/reach/push-subscriptions.ts'
import { webhookKey } from '../services/reach/standard-webhooks.ts'
import { WebhookFormat } from '../services/reach/webhook-format.ts'
import { WEBHOOK_LANE } from '../services/store/outbox.ts'

declare module 'fastify' {
  interface FastifyInstance {
    reach: {
      pushSubscriptions: PushSubscriptions
      /** Carries out calls of the outbox now, in lanes in which a step of this node made some. */
      wake: (lanes: string[]) => void
    }
  }
}

/** Sends pushes and webhooks. Calls in flight end before the store closes, within a quarter of `CLOSE_GRACE_SECONDS`. */
export default fp(
  async (app) => {
    const endpoints = new PushEndpoints(app.config.PUSH_ENDPOINTS)
    const formats = formatsOf(app, endpoints)
    const log = app.log.child({ component: 'reach' })
    const courier = new Courier({
      outbox: app.store.outbox,
      now: () => app.store.now(),
      sender: new HttpSender({ connectionsPerHost: CALLS_PER_LANE }),
      formats,
      counters: app.counters,
      onLeased: (waitedMs) => app.metrics.leased(waitedMs),
      onStopped: (lane) => log.error({ lane }, 'the receiver answered 410: no further calls are sent to it until a restart'),
      onFailure: (failure) => {
        const { lane, attempt, result } = failure
        log.warn({ lane, ...attempt, result }, describeFailure(failure))
      },
      onFault: (err) => log.error({ err }, 'a call could not be made')
    })
    app.decorate('reach', {
      pushSubscriptions: new PushSubscriptions(app.store, endpoints, app.vapid?.publicKey),
      wake: (lanes) => courier.wake(lanes)
    })
    app.metrics.gauge('belfry_calls_in_flight', 'Calls to push services and webhooks in flight', () => courier.inFlight)
    app.metrics.gauge('belfry_call_oldest_seconds', 'Age of the oldest call that this node knows to wait for its receiver', () => {
      return courier.oldestWaitingMs / 1000
    })
    app.addHook('onClose', () => courier.close(app.config.CLOSE_GRACE_SECONDS * 250))
  },
  { name: 'reach', fastify: '5.x', dependencies: ['vapid', 'store', 'metrics'] }
)

/** Returns the format of each lane in which there can be calls. */
function formatsOf(app: FastifyInstance, endpoints: PushEndpoints): Map<string, CallFormat> {
  const { config, store, vapid: identity } = app
  const formats = new Map<string, CallFormat>()
  if (identity !== undefined) {
    const push = new PushFormat({ store, identity, endpoints, retentionMs: config.RETENTION_SECONDS * 1000 }) as CallFormat
    for (const lane of endpoints.lanes) formats.set(lane, push)
  }
  if (config.WEBHOOK_URL !== '') {
    const keys = config.WEBHOOK_SECRET.map((secret) => webhookKey(secret) as Buffer)
    formats.set(WEBHOOK_LANE, new WebhookFormat({ store, url: config.WEBHOOK_URL, keys }) as CallFormat)
  }
  return formats
}
