import { testCleanRun } from './clean-run.ts'

testCleanRun('redis')
