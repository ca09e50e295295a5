import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { exitText, isFromOutside, type UnexpectedExit } from '../fixtures/children.ts'
import { freePort, RedisServer } from '../fixtures/redis.ts'
import { until } from '../fixtures/wait.ts'
import { temporaryFolder } from '../helper.ts'
import { ChaosNode } from './chaos-node.ts'
import { Caller } from './http.ts'

/** Answers every request with 200; `/signal` kills the process as from outside, `/crash` ends it with code 7. */
const SERVER = `
import { createServer } from 'node:http'
createServer((request, response) => {
  if (request.url === '/signal') process.kill(process.pid, 'SIGKILL')
  if (request.url === '/crash') { console.error('out of luck'); process.exit(7) }
  response.end('{}')
}).listen(Number(process.env.PORT), '127.0.0.1')
`

t.test('a node that ends by itself: one line with the time, and the code or the signal', async (t) => {
  const build = temporaryFolder(t)
  writeFileSync(join(build, 'server.js'), SERVER)
  writeFileSync(join(build, 'package.json'), '{"type":"module"}')
  const caller = new Caller('')
  t.teardown(() => caller.close())
  const exits: UnexpectedExit[] = []
  const node = new ChaosNode(1, await freePort(), build, {}, caller, (exit) => exits.push(exit))
  t.teardown(() => node.kill())

  await node.start()
  await node.kill()
  await node.start()
  t.same(exits, [], 'a kill of the run itself is none')
  await caller.call(node.port, 'GET', '/signal')
  await until(() => exits.length === 1, 'the exit')
  t.match(exitText(exits[0] as UnexpectedExit), /^node 1 ended by itself at \d{4}-\d\d-\d\dT[\d:.]+Z with SIGKILL$/)
  t.ok(isFromOutside(exits[0] as UnexpectedExit))
  t.same(node.crashes, [])

  await node.start()
  await caller.call(node.port, 'GET', '/crash')
  await until(() => exits.length === 2, 'the second exit')
  t.match(exitText(exits[1] as UnexpectedExit), /with code 7$/)
  t.notOk(isFromOutside(exits[1] as UnexpectedExit))
  t.match(node.crashes, [/^node 1 ended by itself at .* with code 7: out of luck/])
})

t.test('a redis-server that is stopped from outside is reported, one that the test kills is not', async (t) => {
  const exits: UnexpectedExit[] = []
  const server = await RedisServer.start({ onUnexpectedExit: (exit) => exits.push(exit) })
  t.teardown(() => server.stop())
  await server.kill()
  await server.run()
  t.same(exits, [])
  const admin = server.admin()
  if (admin.status !== 'ready') await once(admin, 'ready')
  // Not awaited: Redis ends without an answer.
  admin.call('SHUTDOWN', 'NOSAVE').catch(() => undefined)
  await until(() => exits.length === 1, 'the exit')
  t.match(exits[0], { name: `redis-server on port ${server.port}`, code: 0, signal: null })
  t.ok(isFromOutside(exits[0] as UnexpectedExit))
})
