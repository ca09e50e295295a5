import { answering } from './answering.ts'
import { collapsing } from './collapsing.ts'
import { expiring } from './expiring.ts'
import { publishing } from './publishing.ts'
import { releasing } from './releasing.ts'
import { scheduling } from './scheduling.ts'
import { settling } from './settling.ts'

/**
 * The examples of publishes, and of what notifications carry, for the kinds of Redis on which a publish is a call of its own, not one of a batch.
 */
export const unbatched = [publishing, releasing, scheduling, expiring, collapsing, answering, settling].flat().filter(({ long }) => !long)
