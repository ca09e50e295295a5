import t from 'tap'
import { embeddedSetup } from '../conformance/embedded-setup.ts'
import { referenceSetup } from '../conformance/reference-store.ts'
import { equality } from './equality.ts'

t.test('the embedded store equals the bare machine', (t) =>
  equality(t, referenceSetup(1, { forgetsConnections: true }), embeddedSetup(), 25)
)

t.test('the embedded store with memory for one user equals the bare machine', (t) =>
  equality(
    t,
    referenceSetup(1, { forgetsConnections: true }),
    { ...embeddedSetup({ cacheBytes: 1 }), name: 'the embedded store with memory for one user' },
    25
  )
)
