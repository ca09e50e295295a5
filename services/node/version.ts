import { readFileSync } from 'node:fs'

/** The version in package.json, two folders above the sources, three above a build. */
export const PROJECT_VERSION = ['../../package.json', '../../../package.json'].map(versionIn).find((version) => version !== '') ?? '0.0.0'

function versionIn(path: string): string {
  try {
    const { version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }
    return version
  } catch {
    return ''
  }
}
