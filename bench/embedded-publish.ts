import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { newId } from '../services/ids.ts'
import { EmbeddedStore } from '../services/store/embedded/embedded-store.ts'
import { storeSettings, usualTail } from './store-settings.ts'

// Measures durable publishes of the embedded store and prints the result as JSON:
// node build/bench/embedded-publish.js [in flight] [users] [seconds]
const [inFlight = 64, users = 1000, seconds = 10] = process.argv.slice(2).map(Number)
const folder = await mkdtemp(join(tmpdir(), 'belfry-bench-'))
const store = new EmbeddedStore({ folder, settings: storeSettings })
await store.open('bench', { wake() {}, kick() {}, suspect() {}, status() {} })

const times: number[] = []
let published = 0
let end = Date.now() + 2000

async function publisher(): Promise<void> {
  while (Date.now() < end) {
    const start = performance.now()
    await store.publish({ user: `user-${Math.floor(Math.random() * users)}`, id: newId(), keyed: false, tail: usualTail, halfLife: 0 })
    times.push(performance.now() - start)
    published += 1
  }
}

const run = (): Promise<unknown> => Promise.all(Array.from({ length: inFlight }, publisher))
await run()
published = 0
times.length = 0
const cpu = process.cpuUsage()
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
const start = performance.now()
end = Date.now() + seconds * 1000
await run()
const elapsed = (performance.now() - start) / 1000
delay.disable()
const used = process.cpuUsage(cpu)
times.sort((a, b) => a - b)
const percentileOf = (share: number): string => (times[Math.floor(times.length * share)] as number).toFixed(1)
process.stdout.write(
  `${JSON.stringify({
    inFlight,
    users,
    perSecond: Math.round(published / elapsed),
    p50Ms: percentileOf(0.5),
    p99Ms: percentileOf(0.99),
    eventLoopP99Ms: (delay.percentile(99) / 1e6).toFixed(1),
    eventLoopMaxMs: (delay.max / 1e6).toFixed(1),
    cpuMicrosPerPublish: ((used.user + used.system) / published).toFixed(1),
    rssMiB: Math.round(process.memoryUsage.rss() / 1048576)
  })}\n`
)
await store.close()
await rm(folder, { recursive: true })
