import type { ChildProcess } from 'node:child_process'

const children = new Set<ChildProcess>()

/** What this process starts ends with it, however it ends. */
export function owned<Child extends ChildProcess>(child: Child): Child {
  if (children.size === 0) {
    process.once('exit', () => {
      for (const one of children) one.kill('SIGKILL')
    })
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1))
  }
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}
