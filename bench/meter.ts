import { machineTime, timeOf } from './cpu.ts'
import type { Run } from './generator.ts'
import type { Sample } from './interleave.ts'

/** A sample is void if other processes use more CPU time than this share of that of the benchmark. */
const MAX_FOREIGN_SHARE = 0.15

/** CPU time that processes used during an operation, microseconds. */
export interface Usage {
  cpu: number
  /** Ready to run, and waiting for a core. */
  wait: number
  /** CPU time of unrelated processes, as a share of that of the measured processes and the generator. */
  foreignShare: number
}

/** Runs `act` and returns its result, with the CPU time that the processes used during it. */
export async function measureUsage<Result>(pids: readonly number[], act: () => Promise<Result>): Promise<{ used: Usage; result: Result }> {
  const all = [...pids, process.pid]
  const before = { ours: timeOf(pids), all: timeOf(all), machine: machineTime() }
  const result = await act()
  const ours = timeOf(pids)
  const known = timeOf(all).cpu - before.all.cpu
  const foreignShare = Math.max(0, machineTime() - before.machine - known) / known
  return { used: { cpu: (ours.cpu - before.ours.cpu) / 1000, wait: (ours.wait - before.ours.wait) / 1000, foreignShare }, result }
}

/**
 * Returns the CPU microseconds per message of a run.
 *
 * @param mayDouble the peer is known to deliver twice, so duplicates do not void the sample
 */
export function perMessage(used: Usage, run: Run, mayDouble = false): Sample {
  return { value: used.cpu / run.published, flaw: flawOf(used, run, mayDouble) }
}

/** Returns why a run is void; undefined if it is valid. */
export function flawOf({ foreignShare }: Usage, run: Run, mayDouble = false): string | undefined {
  if (foreignShare > MAX_FOREIGN_SHARE) return `other processes used the machine (${Math.round(foreignShare * 100)} %)`
  if (run.lost > 0) return `${run.lost} lost`
  if (run.refused > 0) return `${run.refused} refused`
  if (run.duplicated > 0 && !mayDouble) return `${run.duplicated} duplicated`
  return undefined
}
