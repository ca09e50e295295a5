import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Answered } from './embedded-child.ts'

/**
 * Runs a process that uses the store in a folder, and kills it some time after its first answer.
 *
 * @param first number of its first notification
 */
export async function runUntilKilled(folder: string, first: number, afterMs: number, note: (answered: Answered) => void): Promise<void> {
  const file = fileURLToPath(new URL('./embedded-child.js', import.meta.url))
  const child = fork(file, [folder, String(first)], { execArgv: [] })
  child.on('message', note)
  const [answer] = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => [undefined])])
  if (answer === undefined) throw new Error('the child ended by itself')
  await pause(afterMs)
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}
