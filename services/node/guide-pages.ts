import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { escapeHtml, markdownToHtml } from './markdown.ts'
import { pageShell } from './page-shell.ts'

/** Folders of `docs/` whose pages are served. */
const FOLDERS = ['guides', 'reference', 'explanation']
const START = 'getting-started'

/** Returns the pages of a `docs` folder as HTML by their path without `.md`. There are none if the folder was not shipped. */
export function readGuides(folder: URL, hasDemo: boolean): ReadonlyMap<string, string> {
  const paths = [START, ...FOLDERS.flatMap((name) => namesIn(new URL(`${name}/`, folder)).map((file) => `${name}/${file}`))]
  return new Map(
    paths.flatMap((path) => {
      const markdown = readIfThere(new URL(`${path}.md`, folder))
      return markdown === undefined ? [] : [[path, pageOf(path, markdown, paths, hasDemo)] as const]
    })
  )
}

function namesIn(folder: URL): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.md'))
      .map((name) => name.slice(0, -3))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function readIfThere(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Returns one page. Its links are relative to /docs/guide/<path>. */
function pageOf(path: string, markdown: string, paths: string[], hasDemo: boolean): string {
  const up = '../'.repeat(path.split('/').length)
  const link = (target: string): string | undefined => {
    if (/^(?:https?:|#)/.test(target)) return target
    const [file = '', anchor] = target.split('#')
    const wanted = posix.join(posix.dirname(path), file).replace(/\.md$/, '')
    // The pages link to files of the repository too, which no service has.
    return paths.includes(wanted) ? `${file.replace(/\.md$/, '')}${anchor === undefined ? '' : `#${anchor}`}` : undefined
  }
  const title = escapeHtml((/^# (.+)$/m.exec(markdown)?.[1] ?? path).replaceAll('`', ''))
  const others = FOLDERS.map((folder) => {
    const links = paths.filter((other) => other.startsWith(`${folder}/`)).map((other) => linkTo(other, path))
    return `<h2>${folder}</h2>\n<ul>${links.join('')}</ul>`
  })
  const body = `<div class="guide">
<main>
${markdownToHtml(markdown, link)}
</main>
<nav class="others" aria-label="Pages">
<ul>${linkTo(START, path)}</ul>
${others.join('\n')}
</nav>
</div>`
  return pageShell({
    title: `${title}: Belfry`,
    up,
    sheets: ['pages/theme.css', 'pages/docs.css'],
    current: `guide/${path}`,
    hasDemo,
    body
  })
}

function linkTo(to: string, from: string): string {
  const address = `${'../'.repeat(from.split('/').length - 1)}${to}`
  return `<li><a href="${address}"${to === from ? ' aria-current="page"' : ''}>${posix.basename(to).replaceAll('-', ' ')}</a></li>`
}
