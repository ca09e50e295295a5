import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { escapeHtml, markdownToHtml } from './markdown.ts'

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
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}: Belfry</title>
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${up}pages/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${up}pages/theme.css">
<link rel="stylesheet" href="${up}pages/docs.css">
</head>
<body>
<header class="top">
  <a class="brand" href="${up}../docs"><img src="${up}pages/icon.svg" alt="" width="28" height="28"><span>Belfry</span></a>
  <nav aria-label="Belfry">${hasDemo ? `<a href="${up}../demo">Demo</a>` : ''}${linkIn('Guide', START, path)}${linkIn('SDK', 'guides/browser-sdk', path)}<a href="${up}../docs">API</a><a href="${up}socket">Socket</a></nav>
</header>
<div class="guide">
<main>
${markdownToHtml(markdown, link)}
</main>
<nav class="others" aria-label="Pages">
<ul>${linkTo(START, path)}</ul>
${others.join('\n')}
</nav>
</div>
</body>
</html>
`
}

function linkIn(title: string, to: string, from: string): string {
  return `<a href="${addressOf(to, from)}"${to === from ? ' aria-current="page"' : ''}>${title}</a>`
}

function linkTo(to: string, from: string): string {
  return `<li>${linkIn(posix.basename(to).replaceAll('-', ' '), to, from)}</li>`
}

function addressOf(to: string, from: string): string {
  return `${'../'.repeat(from.split('/').length - 1)}${to}`
}
