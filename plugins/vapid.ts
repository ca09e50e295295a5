import fp from 'fastify-plugin'
import { redisOptionsOf } from '../config.ts'
import { generatedVapidKeys } from '../services/reach/generated-vapid-keys.ts'
import type { VapidIdentity } from '../services/reach/vapid.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The keys and the contact of Web Push; undefined: Web Push is off. */
    vapid: VapidIdentity | undefined
  }
}

/** Contact of generated keys if the environment has none. Apple refuses addresses of `example.com`; a service in production has its own. */
const PLACEHOLDER_SUBJECT = 'mailto:belfry@example.com'

/** Provides the keys of Web Push: those of the environment, or, with the embedded store, a pair that the first start generates. */
export default fp(
  async (app) => {
    const { VAPID_PUBLIC_KEY: publicKey, VAPID_PRIVATE_KEY: privateKey, VAPID_SUBJECT, PUBLIC_URL, DATA_DIR } = app.config
    const subject = VAPID_SUBJECT || (PUBLIC_URL.startsWith('https:') ? PUBLIC_URL : PLACEHOLDER_SUBJECT)
    const isGenerated = publicKey === '' && redisOptionsOf(app.config) === undefined
    const keys = isGenerated ? generatedVapidKeys(DATA_DIR) : { publicKey, privateKey }
    app.decorate('vapid', keys.publicKey === '' ? undefined : { ...keys, subject })
  },
  { name: 'vapid', fastify: '5.x' }
)
