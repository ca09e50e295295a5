import type { ChildProcess } from 'node:child_process'
import { endWithProcess } from '../test/fixtures/children.ts'

let handlesSignals = false

/** Kills the child when this process exits, also on SIGINT and SIGTERM. */
export function endWithBench<Child extends ChildProcess>(child: Child): Child {
  if (!handlesSignals) for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1))
  handlesSignals = true
  endWithProcess(child)
  return child
}
