import { Belfry } from './index.ts'

Object.assign(globalThis, { Belfry })
