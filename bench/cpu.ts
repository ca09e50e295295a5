import { readdirSync, readFileSync } from 'node:fs'

/** CPU time of processes, nanoseconds. */
interface CpuTime {
  cpu: number
  /** Ready to run, and waiting for a core. */
  wait: number
}

/** Length of a clock tick in `/proc/stat`, nanoseconds. */
const TICK_NS = 10_000_000

/** Returns the user and system time of the processes so far, from the scheduler's accounting of all their threads. */
export function timeOf(pids: Iterable<number>): CpuTime {
  const total = { cpu: 0, wait: 0 }
  for (const pid of pids) {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const [cpu = 0, wait = 0] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ').map(Number)
      total.cpu += cpu
      total.wait += wait
    }
  }
  return total
}

/** Returns the busy time of all cores since the machine started, nanoseconds. */
export function machineTime(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, soft = 0, steal = 0] = readFileSync('/proc/stat', 'latin1')
    .split('\n', 1)
    .flatMap((line) => line.trim().split(/ +/).slice(1).map(Number))
  return (user + nice + system + irq + soft + steal) * TICK_NS
}

/** Returns the number of write calls of a process so far, to files, sockets and pipes. */
export function writeCalls(pid: number): number {
  return Number(/^syscw: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? Number.NaN)
}

/** Returns the resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? Number.NaN) * 1024
}
