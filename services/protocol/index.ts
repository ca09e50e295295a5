export * from './codes.ts'
export * from './event-id.ts'
export * from './frames.ts'
export * from './version.ts'
