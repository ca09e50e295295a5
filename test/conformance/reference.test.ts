import t from 'tap'
import { referenceSetup } from './reference-store.ts'
import { storeSuite } from './store.ts'

await storeSuite(t, referenceSetup(3))
