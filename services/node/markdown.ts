/** Returns text with the characters escaped that HTML reserves. */
export function escapeHtml(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** Returns the address of a link's target, or undefined for a link that the page shows as plain text. */
export type ResolveLink = (target: string) => string | undefined

/**
 * Returns the HTML of a page of `docs/`. Knows the Markdown that these pages use: headings, paragraphs, fenced code, tables, flat lists,
 * quotes, links, code and bold text.
 */
export function markdownToHtml(markdown: string, link: ResolveLink): string {
  const lines = markdown.split('\n')
  const html: string[] = []
  while (lines.length > 0) {
    const line = lines.shift() as string
    const heading = /^(#{1,4}) (.+)$/.exec(line)
    if (line.startsWith('```')) html.push(fencedCode(lines))
    else if (heading !== null) html.push(headingOf(heading[1]?.length ?? 1, heading[2] ?? '', link))
    else if (line.startsWith('|')) html.push(table([line, ...takeWhile(lines, (next) => next.startsWith('|'))], link))
    else if (ITEM.test(line)) html.push(list([line, ...takeWhile(lines, (next) => ITEM.test(next) || /^ +\S/.test(next))], link))
    else if (line.startsWith('>')) html.push(quote([line, ...takeWhile(lines, (next) => next.startsWith('>'))], link))
    else if (line.trim() !== '') html.push(`<p>${inline([line, ...takeWhile(lines, isText)].join(' '), link)}</p>`)
  }
  return html.join('\n')
}

const ITEM = /^(?:-|\d+\.) /

const isText = (line: string): boolean => line.trim() !== '' && !/^(?:#|```|\||>)/.test(line) && !ITEM.test(line)

/** Removes and returns the first lines that fulfil the condition. */
function takeWhile(lines: string[], condition: (line: string) => boolean): string[] {
  const end = lines.findIndex((line) => !condition(line))
  return lines.splice(0, end === -1 ? lines.length : end)
}

function fencedCode(lines: string[]): string {
  const code = takeWhile(lines, (line) => !line.startsWith('```'))
  lines.shift()
  return `<pre tabindex="0"><code>${escapeHtml(code.join('\n'))}</code></pre>`
}

function headingOf(level: number, title: string, link: ResolveLink): string {
  const id = title
    .toLowerCase()
    .replace(/[^\w\s-]/g, '')
    .replaceAll(' ', '-')
  return `<h${level} id="${id}">${inline(title, link)}</h${level}>`
}

function table(rows: string[], link: ResolveLink): string {
  const cells = (row: string): string[] =>
    row
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => inline(cell.trim().replaceAll('\\|', '|'), link))
  const [head = '', , ...body] = rows
  const heads = cells(head).map((cell) => (cell === '' ? '<td></td>' : `<th scope="col">${cell}</th>`))
  const lines = body.map(
    (row) =>
      `<tr>${cells(row)
        .map((cell) => `<td>${cell}</td>`)
        .join('')}</tr>`
  )
  return `<div class="table" tabindex="0"><table><thead><tr>${heads.join('')}</tr></thead><tbody>${lines.join('\n')}</tbody></table></div>`
}

function list(lines: string[], link: ResolveLink): string {
  const items: string[] = []
  for (const line of lines) {
    if (ITEM.test(line)) items.push(line.replace(ITEM, ''))
    else items.push(`${items.pop() ?? ''} ${line.trim()}`)
  }
  const tag = lines[0]?.startsWith('-') ? 'ul' : 'ol'
  return `<${tag}>${items.map((item) => `<li>${inline(item, link)}</li>`).join('\n')}</${tag}>`
}

function quote(lines: string[], link: ResolveLink): string {
  return `<blockquote><p>${inline(lines.map((line) => line.replace(/^> ?/, '')).join(' '), link)}</p></blockquote>`
}

/** Returns the HTML of one paragraph. Code is taken out first: nothing inside it is markup. */
function inline(text: string, link: ResolveLink): string {
  return text
    .split(/(``[^`].*?``|`[^`]*`)/)
    .map((part, index) => (index % 2 === 1 ? `\u0000${part.replace(/^`+|`+$/g, '')}\u0000` : part))
    .join('')
    .split(/(!?\[(?:[^\]])*\]\([^)\s]+\))/)
    .map((part, index) => (index % 2 === 1 ? linkHtml(part, link) : plain(part)))
    .join('')
}

function linkHtml(markdown: string, link: ResolveLink): string {
  const [, image, title = '', target = ''] = /^(!?)\[([^\]]*)\]\(([^)]+)\)$/.exec(markdown) ?? []
  const address = image === '' ? link(target) : undefined
  return address === undefined ? plain(title) : `<a href="${escapeHtml(address)}">${plain(title)}</a>`
}

function plain(text: string): string {
  return text
    .split('\u0000')
    .map((part, index) =>
      index % 2 === 1 ? `<code>${escapeHtml(part)}</code>` : escapeHtml(part).replace(/\*\*([^*]+)\*\*/g, '<b>$1</b>')
    )
    .join('')
}
