import { machineTime, timeOf } from './cpu.ts'
import type { Run } from './generator.ts'
import type { Sample } from './interleave.ts'

/** Work of strangers on the machine above this part of our own makes a sample void. */
const MAX_FOREIGN = 0.15

/** What some processes used while something was going on. Microseconds. */
export interface Used {
  cpu: number
  /** Ready to run, and waiting for a core. */
  wait: number
  /** What processes of nobody here used, as a part of what those measured and the generator did. */
  foreign: number
}

/** Measures the processes during `act`. */
export async function metered<Result>(pids: readonly number[], act: () => Promise<Result>): Promise<{ used: Used; result: Result }> {
  const all = [...pids, process.pid]
  const before = { ours: timeOf(pids), all: timeOf(all), machine: machineTime() }
  const result = await act()
  const ours = timeOf(pids)
  const known = timeOf(all).cpu - before.all.cpu
  const foreign = Math.max(0, machineTime() - before.machine - known) / known
  return { used: { cpu: (ours.cpu - before.ours.cpu) / 1000, wait: (ours.wait - before.ours.wait) / 1000, foreign }, result }
}

/** CPU microseconds for each of the run's messages. */
export function perMessage(used: Used, run: Run, mayDouble = false): Sample {
  return { value: used.cpu / run.published, flaw: flawOf(used, run, mayDouble) }
}

export function flawOf({ foreign }: Used, run: Run, mayDouble = false): string | undefined {
  if (foreign > MAX_FOREIGN) return `others used the machine (${Math.round(foreign * 100)} %)`
  if (run.lost > 0) return `${run.lost} lost`
  if (run.refused > 0) return `${run.refused} refused`
  if (run.duplicated > 0 && !mayDouble) return `${run.duplicated} duplicated`
  return undefined
}
