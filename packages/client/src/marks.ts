import type { AnswerFrame, MarkFrame, RefreshFrame, State } from '../../../services/protocol/index.ts'
import type { MarkOptions, MarkTarget } from './types.ts'

/** The frames that any tab may send. */
export type UserFrame = MarkFrame | AnswerFrame

/** The frames that the service answers. */
export type CallFrame = UserFrame | RefreshFrame

/** The most ids in one frame: an id has at most 64 characters, and the service accepts frames of 10 KB. */
const MAX_IDS = 100

/** Returns the frames of a mark: several if there are many ids, none if there is no id. */
export function markFrames(target: MarkTarget, state: State, { only }: MarkOptions): MarkFrame[] {
  const mark = { type: 'mark', state, only } as MarkFrame
  if (typeof target === 'object' && 'upTo' in target) return [{ ...mark, ...target }]
  const ids = [target].flat()
  const frames: MarkFrame[] = []
  while (ids.length) frames.push({ ...mark, ids: ids.splice(0, MAX_IDS) })
  return frames
}
