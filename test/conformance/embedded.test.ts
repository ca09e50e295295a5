import t from 'tap'
import { embeddedSetup, restartingSetup } from './embedded-setup.ts'
import { storeSuite } from './store.ts'

await storeSuite(t, embeddedSetup())
await storeSuite(t, { ...embeddedSetup({ cacheBytes: 1 }), name: 'the embedded store with room for one user' })
await storeSuite(t, restartingSetup())
