import { testCleanRun } from './clean-run.ts'

/** Short, because all but the bus is the same as in the run on Redis alone. */
const SECONDS = 10

testCleanRun('redis', 'nats', SECONDS)
