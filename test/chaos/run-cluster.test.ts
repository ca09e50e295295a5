import { testCleanRun } from './clean-run.ts'

testCleanRun('cluster')
