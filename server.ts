import type { AddressInfo } from 'node:net'
import closeWithGrace from 'close-with-grace'
import Fastify from 'fastify'
import app from './app.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import metricsRoutes from './routes/metrics.ts'
import { serverOptions } from './server-options.ts'
import { generatedSecret, secretPath } from './services/auth/generated-secret.ts'
import { isLoopback } from './services/auth/loopback.ts'
import { greeting } from './services/node/greeting.ts'

async function start(): Promise<void> {
  const read = readConfig()
  const keyed = read.JWT_SECRET !== '' || read.JWT_PUBLIC_KEY !== '' || read.JWKS_URL !== ''
  const made = keyed ? undefined : generatedSecret(read.DATA_DIR)
  const demo = read.DEMO === '' && isLoopback(read.HOST) ? 'true' : read.DEMO
  const config: Config = made === undefined ? read : { ...read, JWT_SECRET: made.secret, secretMade: true, DEMO: demo }
  const fastify = Fastify(serverOptions(config))
  await fastify.register(app, { config })

  const metricsServer = config.METRICS_PORT === 0 ? undefined : Fastify({ logger: false })
  if (metricsServer !== undefined) {
    metricsServer.decorate('metrics', fastify.metrics)
    await metricsServer.register(metricsRoutes)
  }

  closeWithGrace({ delay: config.CLOSE_GRACE_SECONDS * 1000, logger: fastify.log }, async ({ err }) => {
    if (err) fastify.log.fatal({ err }, 'stopping after an error')
    await fastify.close()
    await metricsServer?.close()
  })

  await fastify.listen({ host: config.HOST, port: config.PORT, backlog: 4096 })
  await metricsServer?.listen({ host: config.HOST, port: config.METRICS_PORT })
  if (made !== undefined) {
    const address = fastify.server.address() as AddressInfo
    process.stdout.write(greeting(address, made.secret, secretPath(read.DATA_DIR), made.made, config.DEMO === 'true'))
  }
}

start().catch((error: unknown) => {
  process.stderr.write(`${error instanceof ConfigError ? error.message : (error as Error).stack}\n`)
  process.exit(1)
})
