import { parseEventId } from '../../services/protocol/index.ts'
import { COUNT_ID, rowId, rowId8, rowKind } from '../../services/store/row.ts'

/**
 * Replaces the values that a store generates at random (epochs, ids of its own rows, and the tags that depend on them) by names that are the same on
 * every store with the same behaviour: an epoch by its index in the order of appearance, an id or a tag by the word `generated`.
 */
export class Names {
  readonly #epochs: string[] = []
  readonly #ids = new Map<string, string>()

  /** Returns the epoch at an index in the order of appearance, or one that never existed. */
  epoch(index: number): string {
    return this.#epochs[index] ?? 'other1'
  }

  /** Returns the tag last read at a place; '' if none was. */
  id8(epoch: string, offset: number): string {
    return this.#ids.get(`${epoch}.${offset}`) ?? ''
  }

  /** Returns a result as text. */
  textOf(value: unknown): string {
    return JSON.stringify(this.#plain(value))
  }

  #plain(value: unknown): unknown {
    if (Buffer.isBuffer(value)) return this.#row(value)
    if (value instanceof Map) return { map: [...value].map(([key, item]) => [key, this.#plain(item)]).sort() }
    if (Array.isArray(value)) return value.map((item) => this.#plain(item))
    if (typeof value !== 'object' || value === null) return value === undefined ? 'undefined' : value
    const { epoch, offset, row, id8 } = value as Record<string, unknown>
    if (typeof epoch === 'string' && typeof offset === 'number') {
      if (Buffer.isBuffer(row)) this.#ids.set(`${epoch}.${offset}`, rowId8(row))
      if (typeof id8 === 'string' && id8 !== '') this.#ids.set(`${epoch}.${offset}`, id8)
    }
    return Object.fromEntries(
      Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, item]) => [key, this.#field(key, item)])
    )
  }

  #field(key: string, item: unknown): unknown {
    if (key === 'epoch' && typeof item === 'string') return this.#epoch(item)
    if ((key === 'id8' || key === 'topId8') && typeof item === 'string') return item === '' ? '' : 'generated'
    if ((key === 'from' || key === 'to') && typeof item === 'string') {
      const position = parseEventId(item)
      return position === undefined ? item : this.#plain(position)
    }
    return this.#plain(item)
  }

  #epoch(epoch: string): string {
    if (epoch === '' || epoch === 'other1') return epoch
    if (!this.#epochs.includes(epoch)) this.#epochs.push(epoch)
    return `epoch ${this.#epochs.indexOf(epoch)}`
  }

  #row(row: Buffer): string {
    const text = row.toString()
    const isGenerated = ['s', '-', 'r', 'a'].includes(rowKind(row)) && rowId(row) !== COUNT_ID
    const id = isGenerated ? 'generated' : rowId(row)
    return `${text.slice(0, 14)}${id}${text.slice(42)}`
  }
}
