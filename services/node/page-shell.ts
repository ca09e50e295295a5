/** A page of the documentation, without what all of them share. */
interface Page {
  title: string
  /** Path from the page to `/docs/`. */
  up: string
  /** Style sheets in their order, as paths from `/docs/`. */
  sheets: string[]
  /** Entry of the navigation that is this page, as a path from `/docs/`. */
  current: string
  /** A document in JSON that the navigation links to, as a path from `/docs/`, and its name. */
  source?: readonly [path: string, name: string]
  /** True adds a link to the demo. */
  hasDemo: boolean
  body: string
}

/** The navigation of all pages: paths from `/docs/`, and the names of the links. */
const ENTRIES = [
  ['guide/getting-started', 'Guide'],
  ['guide/guides/browser-sdk', 'SDK'],
  ['../docs', 'API'],
  ['socket', 'Socket']
] as const

/** Returns a page of the documentation as HTML: the head, the bar at the top with the navigation, and the body. */
export function pageShell({ title, up, sheets, current, source, hasDemo, body }: Page): string {
  const entries = [...(hasDemo ? [['../demo', 'Demo'] as const] : []), ...ENTRIES, ...(source === undefined ? [] : [source])]
  const links = entries.map(
    ([path, name]) => `<a href="${addressOf(up, path)}"${path === current ? ' aria-current="page"' : ''}>${name}</a>`
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<meta name="color-scheme" content="light dark">
<link rel="icon" href="${up}pages/icon.svg" type="image/svg+xml">
${sheets.map((sheet) => `<link rel="stylesheet" href="${up}${sheet}">`).join('\n')}
</head>
<body>
<header class="top">
  <a class="brand" href="${addressOf(up, '../docs')}"><img src="${up}pages/icon.svg" alt="" width="28" height="28"><span>Belfry</span></a>
  <nav aria-label="Belfry">${links.join('')}</nav>
</header>
${body}
</body>
</html>
`
}

/** Returns a path relative to a page. The page `/docs` is beside `/docs/`, not in it: what is above `/docs/` is beside the page. */
function addressOf(up: string, path: string): string {
  return up === 'docs/' && path.startsWith('../') ? path.slice(3) : up + path
}
