import { readdirSync } from 'node:fs'
import t from 'tap'
import { faults, PUBLISHED_FIGURES, percentile, Tally, table } from '../../bench/tally.ts'
import { NodeProcess } from '../fixtures/node-process.ts'
import { temporaryFolder } from '../helper.ts'

async function latency(args: string[]) {
  const bench = new NodeProcess('bench/latency.js', args)
  return { code: await bench.exited, stdout: bench.stdout, stderr: bench.stderr }
}

t.test('two nodes on a Redis, then one embedded node: every notification arrives once', async (t) => {
  const { code, stdout, stderr } = await latency(['--users', '50', '--notifications', '100', '--warm-up', '20'])
  t.equal(stderr, '')
  t.equal(code, 0)
  t.match(stdout, /50 users connected, 100 notifications to random users at 200\/s/)
  const figures = String.raw`(\s+\d+\.\d){4}\s+0\s+0\s+\d+\.\d`
  t.match(stdout, new RegExp(`two nodes on a Redis${figures}\n.*one embedded node${figures}\n`))
  t.match(stdout, /load average \d+\.\d on \d+ cores/)
  const { average, p99, max } = PUBLISHED_FIGURES
  t.match(stdout, new RegExp(String.raw`the pattern it replaces, two nodes\s+${average}\s+${p99}\s+${max}\n`))
})

t.test('notifications that do not arrive in time count as lost, and the exit code is 1', async (t) => {
  const { code, stderr } = await latency(['--users', '5', '--notifications', '20', '--rate', '100000', '--warm-up', '0', '--wait', '0'])
  t.equal(code, 1)
  t.match(stderr, /two nodes on a Redis: \d+ lost/)
  t.match(stderr, /one embedded node: \d+ lost/)
})

t.test('an interrupted run leaves nothing behind', async (t) => {
  const folder = temporaryFolder(t)
  const bench = new NodeProcess('bench/latency.js', ['--users', '5'], { TMPDIR: folder })
  t.teardown(() => bench.kill())
  await bench.until(() => readdirSync(folder).some((name) => name.startsWith('belfry-redis')), 'the start of its Redis')
  bench.signal('SIGINT')
  t.equal(await bench.exited, 1)
  t.same(readdirSync(folder), [])
})

t.test('a wrong option is refused', async (t) => {
  t.match(await latency(['--users', 'many']), { code: 1, stderr: /--users must be a whole number/ })
  t.match(await latency(['--help']), { code: 0, stdout: /--rate N/ })
})

t.test('the tally counts lost, duplicated and refused, and computes percentiles', async (t) => {
  const tally = new Tally(5)
  for (let index = 0; index < 5; index++) tally.sent(index, index * 10, index * 10 + index)
  tally.refused(3)
  t.equal(tally.missing, 4)
  tally.received(0, 1)
  tally.received(1, 12)
  tally.received(1, 13)
  tally.received(2, 50)
  tally.received(9, 50)
  const result = tally.result('doctored')
  t.same(result, { label: 'doctored', average: 11, p50: 2, p99: 30, max: 30, lost: 1, duplicated: 1, refused: 1, lateP99: 4 })
  t.same(faults([result]), ['doctored: 1 lost', 'doctored: 1 duplicated', 'doctored: 1 publishes refused'])
  t.same(faults([{ ...result, lost: 0, duplicated: 0, refused: 0 }]), [])
  t.match(table([result]), /doctored +11\.0 +2\.0 +30\.0 +30\.0 +1 +1 +4\.0\n/)
  t.ok(Number.isNaN(percentile([], 50)))
  t.ok(Number.isNaN(new Tally(1).result('none').average))
})
