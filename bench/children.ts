import type { ChildProcess } from 'node:child_process'
import { endWithProcess } from '../test/fixtures/children.ts'

let interruptible = false

/** What this process starts ends with it, however it ends. */
export function owned<Child extends ChildProcess>(child: Child): Child {
  if (!interruptible) for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1))
  interruptible = true
  endWithProcess(child)
  return child
}
