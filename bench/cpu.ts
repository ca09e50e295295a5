import { readdirSync, readFileSync } from 'node:fs'

/** Time of some processes, nanoseconds: on a core, and ready to run but waiting for one. */
export interface Time {
  cpu: number
  wait: number
}

/** Clock ticks of `/proc/stat`, nanoseconds. */
const TICK_NS = 10_000_000

/** What the processes have used so far, user and system, by the scheduler's own account of each of their threads. */
export function timeOf(pids: Iterable<number>): Time {
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

/** What the whole machine has been busy with so far, nanoseconds over all cores. */
export function machineTime(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, soft = 0, steal = 0] = readFileSync('/proc/stat', 'latin1')
    .split('\n', 1)
    .flatMap((line) => line.trim().split(/ +/).slice(1).map(Number))
  return (user + nice + system + irq + soft + steal) * TICK_NS
}

/** Write calls of a process so far, whatever to. */
export function writeCalls(pid: number): number {
  return Number(/^syscw: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1] ?? Number.NaN)
}

/** Resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? Number.NaN) * 1024
}
