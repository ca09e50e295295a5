import type { CheckedEntry, Operation } from './database.ts'
import type { SessionDatabase } from './session.ts'

/** Limit of the changes kept in memory, bytes. */
const MAX_BYTES = 32 * 1024 * 1024

/**
 * A database on a full disk: entries on disk are read, and small changes (cursors, the epoch of a new log) are kept in memory until there is room.
 *
 * If the process ends before that, the changes are lost. Devices then get rows a second time; no row is lost.
 */
export class OverlayDatabase implements SessionDatabase {
  readonly #base: SessionDatabase
  readonly #changes = new Map<string, Operation>()
  #bytes = 0

  constructor(base: SessionDatabase) {
    this.#base = base
  }

  /** The changes, to be written when there is room. */
  get operations(): Operation[] {
    return [...this.#changes.values()]
  }

  async write(operations: Operation[]): Promise<void> {
    for (const operation of operations) {
      const name = operation.key.toString('latin1')
      this.#bytes += sizeOf(operation) - sizeOf(this.#changes.get(name))
      this.#changes.set(name, operation)
    }
    if (this.#bytes > MAX_BYTES) throw new Error(`ENOSPC: more than ${MAX_BYTES} bytes of changes wait for room on the disk`)
  }

  async range(from: Buffer, to: Buffer, limit?: number): Promise<CheckedEntry[]> {
    const changes = this.operations.filter(({ key }) => Buffer.compare(key, from) >= 0 && Buffer.compare(key, to) < 0)
    if (changes.length === 0) return await this.#base.range(from, to, limit)
    const changed = new Set(changes.map(({ key }) => key.toString('latin1')))
    const entries = (await this.#base.range(from, to)).filter(([key]) => !changed.has(key.toString('latin1')))
    for (const change of changes) if (change.type === 'put') entries.push([change.key, change.value])
    return entries.sort(([a], [b]) => Buffer.compare(a, b)).slice(0, limit)
  }

  async compact(from: Buffer, to: Buffer): Promise<void> {
    await this.#base.compact(from, to)
  }

  async close(): Promise<void> {
    await this.#base.close()
  }
}

function sizeOf(operation: Operation | undefined): number {
  if (operation === undefined) return 0
  return operation.key.length + (operation.type === 'put' ? operation.value.length : 0) + 100
}
