import perfHooks from 'node:perf_hooks'
import t from 'tap'

/** Mean delay of the event loop as the service measures it, nanoseconds. */
let mean = 0
const { monitorEventLoopDelay } = perfHooks
perfHooks.monitorEventLoopDelay = (options) => Object.defineProperty(monitorEventLoopDelay(options), 'mean', { get: () => mean })

const { isProblem } = await import('../fixtures/problem.ts')
const { until } = await import('../fixtures/wait.ts')
const { call, startService } = await import('../helper.ts')

t.test('an overloaded node sheds requests with 503 and still answers /health and /metrics', async (t) => {
  const service = await startService(t)
  const publish = () => call(service, 'POST', '/v1/notifications', { to: 'alice', type: 'a', title: 'x' })
  t.equal((await publish()).status, 202)
  mean = 3e9
  const shed = await until(async () => {
    const answer = await publish()
    return answer.status === 503 && answer
  }, 'shedding')
  isProblem(t, shed, 503, 'OVERLOADED')
  t.equal(shed.headers.get('retry-after'), '2')
  for (const path of ['/v1/ws', '/v1/sse']) isProblem(t, await call(service, 'GET', path), 503, 'OVERLOADED')
  for (const path of ['/health/live', '/health/ready', '/metrics']) t.equal((await call(service, 'GET', path)).status, 200, path)
  mean = 0
  await until(async () => (await publish()).status === 202, 'the end of the overload')
})
