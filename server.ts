import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import Fastify, { type FastifyInstance } from 'fastify'
import app from './app.ts'
import { type Config, ConfigError, readConfig, servesDemo, withDemoReceiver } from './config.ts'
import metricsRoutes from './routes/metrics.ts'
import { clientErrorHandler, requestId, sendProblem, serverOptions } from './server-options.ts'
import { secretPath, secretWithoutKey } from './services/auth/generated-secret.ts'
import { SecretError } from './services/auth/secret-file.ts'
import { errors } from './services/errors.ts'
import { greeting } from './services/node/greeting.ts'
import { LogSink } from './services/node/log-sink.ts'
import { WebhookJournal } from './services/reach/webhook-journal.ts'
import { StoreUnusable } from './services/store/unusable.ts'

/** Longest time that a failed start takes to leave the store, milliseconds. */
const LEAVE_MS = 5000

async function start(): Promise<void> {
  const given = readConfig()
  const own = secretWithoutKey(given)
  const journal = own === undefined ? undefined : await demoReceiver(given, own.secret)
  const config = journal === undefined ? given : withDemoReceiver(given, journal)
  const sink = new LogSink(process.stdout.fd)
  process.on('exit', () => sink.flush())
  const fastify = Fastify(serverOptions(config, sink))
  // Hooks of a close run from the last to the first: the courier has ended before its receiver closes.
  fastify.addHook('onClose', async () => journal?.close())
  const metricsServer = config.METRICS_PORT === 0 ? undefined : Fastify({ logger: false, clientErrorHandler, genReqId: requestId })
  try {
    await fastify.register(app, { config, journal, ...(own === undefined ? {} : { generatedSecret: own.secret }) })
    await serve(fastify, metricsServer, config, sink)
  } catch (error) {
    // The node may have joined the store by now. It leaves again, so that repeated failed starts do not fill the store with dead nodes.
    await Promise.race([fastify.close().catch(() => undefined), setTimeout(LEAVE_MS)])
    throw error
  }
  if (own !== undefined) {
    const { address, port } = fastify.server.address() as AddressInfo
    const secretFile = secretPath(config.DATA_DIR)
    // Output that is not a terminal may be kept in log files or by collectors. A token for 24 h does not belong there.
    const secret = process.stdout.isTTY ? own.secret : undefined
    const demo = fastify.hasRoute({ method: 'GET', url: '/demo' })
    process.stdout.write(
      greeting({ address, port, secretFile, generated: own.generated, secret, demo, showsWebhooks: journal !== undefined })
    )
  }
}

/** Starts the receiver of the demo for webhooks; undefined without the demo, or if the environment names a `WEBHOOK_URL`. */
async function demoReceiver(config: Config, secret: string): Promise<WebhookJournal | undefined> {
  if (config.WEBHOOK_URL !== '' || !servesDemo(config, secret)) return undefined
  return await WebhookJournal.start(config.WEBHOOK_SECRET.length > 0 ? config.WEBHOOK_SECRET : undefined)
}

/**
 * Signals of a fault in native code. If their handler returns, the same fault occurs again without end: Node faults when it exits after its
 * terminal was closed, and such a process used a whole core until it was killed.
 */
const FAULTS = ['SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGTRAP', 'SIGABRT'] as const

async function serve(fastify: FastifyInstance, metricsServer: FastifyInstance | undefined, config: Config, sink: LogSink): Promise<void> {
  sink.countIn(fastify.counters)
  if (metricsServer !== undefined) {
    metricsServer.decorate('metrics', fastify.metrics)
    metricsServer.decorate('problemOf', fastify.problemOf)
    metricsServer.setNotFoundHandler((request, reply) => sendProblem(new errors.NotFound('Only /metrics is here'), request, reply))
    await metricsServer.register(metricsRoutes)
  }

  const { CLOSE_GRACE_SECONDS, DRAIN_DELAY_MS } = config
  closeWithGrace(
    { skip: [...FAULTS], delay: DRAIN_DELAY_MS + CLOSE_GRACE_SECONDS * 1000, logger: fastify.log },
    async ({ err, signal }) => {
      if (err) fastify.log.fatal({ err }, 'stopping after an error')
      else fastify.log.info({ signal }, `stopping: ${signal} was received`)
      // Ctrl-C at a terminal has no load balancer to wait for.
      if (!err && signal !== 'SIGINT') {
        fastify.log.info({ delayMs: DRAIN_DELAY_MS }, 'draining: not ready, and answering until the load balancers know')
        fastify.health.drain()
        await setTimeout(DRAIN_DELAY_MS)
      }
      await fastify.close()
      await metricsServer?.close()
    }
  )

  await fastify.listen({ host: config.HOST, port: config.PORT, backlog: 4096 })
  await metricsServer?.listen({ host: config.HOST, port: config.METRICS_PORT }).catch((error: Error) => {
    throw Object.assign(error, { portName: 'METRICS_PORT' })
  })
}

/** Returns one sentence for a failure that an operator can put right, and the stack of any other. */
function describeFailure(error: unknown): string {
  if (error instanceof ConfigError || error instanceof SecretError || error instanceof StoreUnusable) return error.message
  const { syscall, code, message, stack, portName = 'PORT' } = error as NodeJS.ErrnoException & { portName?: string }
  if (syscall === undefined && code?.startsWith('LEVEL_') !== true) return stack ?? message
  if (!['listen', 'bind', 'getaddrinfo'].includes(syscall ?? '')) return `DATA_DIR must be a folder that this process can write: ${message}`
  const remedy = code === 'EADDRINUSE' ? `. Stop the process that listens there, or set another ${portName}` : ''
  return `HOST and ${portName} must be an address to listen on: ${message}${remedy}`
}

// A full disk or a closed pipe behind stdout or stderr must not end the service.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)

start().catch((error: unknown) => {
  process.stderr.write(`${describeFailure(error)}\n`)
  process.exit(1)
})
