import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/fixtures/redis.ts'
import { endWithBench } from '../children.ts'
import type { Fleet, FleetOptions, Peer } from './peer.ts'
import { BenchRedis } from './redis.ts'

const MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so'
const PACKAGES = 'nginx libnginx-mod-nchan'

/** nchan, an nginx module in C, with its Redis store and one worker per node. */
export const nchan: Peer = {
  name: 'nchan',
  label: 'nchan + Redis',
  headers: '',
  greeting: '',
  ready: '',
  doubles: false,
  target: (port, user) => ({ port, path: `/sub/${user}` }),
  publishPath: (user) => `/pub/${user}`,

  async missing() {
    if (installed()) return undefined
    if (process.getuid?.() === 0 && spawnSync('command -v apt-get', { shell: true }).status === 0) {
      process.stderr.write(`installing ${PACKAGES}\n`)
      const options = { stdio: 'ignore', shell: true } as const
      spawnSync('apt-get update -qq', options)
      spawnSync(`DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${PACKAGES}`, options)
    }
    return installed() ? undefined : `needs the packages ${PACKAGES}`
  },

  async start({ nodes }: FleetOptions): Promise<Fleet> {
    const redis = await BenchRedis.start()
    const children: ChildProcess[] = []
    const folders: string[] = []
    const ports: number[] = []
    for (let node = 0; node < nodes; node++) {
      const port = await freePort()
      const folder = await mkdtemp(join(tmpdir(), 'belfry-bench-nginx-'))
      const file = join(folder, 'nginx.conf')
      await writeFile(file, configuration(folder, port, redis.url))
      const child = endWithBench(spawn('nginx', ['-c', file, '-e', join(folder, 'error.log'), '-p', folder], { stdio: 'ignore' }))
      children.push(child)
      folders.push(folder)
      ports.push(port)
      while (!(await opens(port))) {
        if (child.exitCode !== null) throw new Error(`nginx ended: ${readFileSync(join(folder, 'error.log'), 'utf8')}`)
        await sleep(20)
      }
    }
    // nginx listens before nchan has connected to Redis.
    await sleep(1000)
    const pids = [...children.flatMap(({ pid = 0 }) => [pid, ...childrenOf(pid)]), redis.pid]
    const stop = async (): Promise<void> => {
      for (const child of children) {
        const exited = once(child, 'exit')
        child.kill('SIGTERM')
        await exited
      }
      await redis.stop()
      for (const folder of folders) await rm(folder, { recursive: true, force: true })
    }
    return { peer: nchan, ports, programs: [], pids, redisPort: redis.port, stop }
  }
}

function installed(): boolean {
  return existsSync(MODULE) && spawnSync('command -v nginx', { shell: true }).status === 0
}

function configuration(folder: string, port: number, redisUrl: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${folder}/${name};`)
  return `load_module ${MODULE};
${process.getuid?.() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/pid;
events { worker_connections 19000; }
http {
${temporary.join('\n')}
  access_log off;
  keepalive_requests 100000000;
  nchan_shared_memory_size 512M;
  upstream redis { nchan_redis_server ${redisUrl}; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location ~ ^/sub/(.+)$ { nchan_subscriber websocket; nchan_channel_id $1; nchan_subscriber_first_message newest; nchan_redis_pass redis; }
    location ~ ^/pub/(.+)$ { nchan_publisher; nchan_channel_id $1; nchan_redis_pass redis; nchan_message_buffer_length 100; }
  }
}
`
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
}

async function opens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
