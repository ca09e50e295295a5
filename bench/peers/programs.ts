import { freePort } from '../../test/fixtures/redis.ts'
import { Program } from '../program.ts'
import type { Fleet, FleetOptions, Peer } from './peer.ts'
import { BenchRedis } from './redis.ts'

/** Start parameters of a peer that is a Node program. */
interface ProgramStart {
  script: string
  args?: string[]
  environment?: Record<string, string>
  /** Path that answers with a status below 500 once the node is ready; default /. */
  probe?: string
}

/** Starts a Redis, then the nodes one after the other. */
export async function startPrograms(
  peer: Peer,
  start: ProgramStart,
  { nodes, environment = {}, flags = [] }: FleetOptions
): Promise<Fleet> {
  const redis = await BenchRedis.start()
  const programs: Program[] = []
  const ports: number[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(programs.map((program) => program.stop()))
    await redis.stop()
  }
  try {
    for (let node = 0; node < nodes; node++) {
      const port = await freePort()
      const variables = { PORT: String(port), REDIS_URL: redis.url, ...start.environment, ...environment }
      const program = new Program(start.script, start.args ?? [], variables, flags)
      programs.push(program)
      ports.push(port)
      await program.listening(port, start.probe ?? '/')
    }
  } catch (error) {
    await stop()
    throw error
  }
  const pids = [...programs.map(({ pid }) => pid), redis.pid]
  return { peer, ports, programs, pids, redisPort: redis.port, stop }
}
