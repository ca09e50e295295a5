import { nameOf, within } from './crowd.ts'
import { bodyOf } from './generator.ts'
import { BATCH_PATH, belfry } from './peers/all.ts'
import type { Fleet } from './peers/peer.ts'
import { Poster } from './poster.ts'

const BATCH = 500
const IN_FLIGHT = 4

/** Publishes `each` notifications to each of `users` offline users, whose numbers begin at `first`. */
export async function fillOffline(fleet: Fleet, users: number, each: number, first: number): Promise<void> {
  const posters = fleet.ports.map((port) => new Poster(port, BATCH_PATH, belfry.headers, IN_FLIGHT))
  const total = users * each
  let next = 0
  let done = 0
  let failed = 0
  const post = (): void => {
    const from = next
    const count = Math.min(BATCH, total - from)
    if (count <= 0) return
    next += count
    const items = Array.from({ length: count }, (_, index) => bodyOf(nameOf(first + Math.floor((from + index) / each)), from + index))
    posters[Math.floor(from / BATCH) % posters.length]?.post(`{"notifications":[${items.join()}]}`, (status) => {
      if (status !== 202) failed += 1
      done += count
      post()
    })
  }
  for (let worker = 0; worker < IN_FLIGHT * posters.length; worker++) post()
  await within(600_000, () => done === total, 'all batches to be answered')
  for (const poster of posters) poster.close()
  if (failed > 0) throw new Error(`${failed} batches were refused`)
}
