import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Creates a folder and its parents, for their owner alone. Does nothing if the folder exists.
 *
 * Node's own `mkdir` with `recursive` never returns where a folder exists and refuses to hold another one with ENOENT, as `/proc` does.
 *
 * @throws the error of the operating system; ENOTDIR if something else is in the place of the folder
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const parent = dirname(path)
    if (code === 'EEXIST') {
      // EEXIST does not help an operator.
      if (!statSync(path).isDirectory()) throw new Error(`ENOTDIR: not a directory, '${path}'`)
    } else if (code === 'ENOENT' && !existsSync(parent)) {
      makeFolder(parent)
      makeFolder(path)
    } else throw error
  }
}
