import type { AnswerFrame, MarkFrame, OkFrame, RefreshFrame, State } from '../../../services/protocol/index.ts'
import type { MarkOptions, MarkResult, MarkTarget } from './types.ts'

/** The frames that any tab may send. */
export type UserFrame = MarkFrame | AnswerFrame

/** The frames that the service answers. */
export type CallFrame = UserFrame | RefreshFrame

/** The most ids in one frame: an id has at most 64 characters, and the service accepts frames of 10 KB. */
const MAX_IDS = 100

type Call = (frame: MarkFrame) => Promise<OkFrame>

/** Makes a mark by one call, or by several if there are many ids. Resolves with the last answer, and with the ids of all. */
export async function markAll(call: Call, target: MarkTarget, state: State, { only }: MarkOptions): Promise<MarkResult> {
  const mark = { type: 'mark', state, only } as MarkFrame
  if (typeof target === 'object' && 'upTo' in target) return call({ ...mark, ...target })
  const ids = [target].flat()
  const changed: string[] = []
  let result: MarkResult = {}
  while (ids.length) {
    result = await call({ ...mark, ids: ids.splice(0, MAX_IDS) })
    changed.push(...(result.ids ?? []))
  }
  return result.ids ? { ...result, ids: changed } : result
}
