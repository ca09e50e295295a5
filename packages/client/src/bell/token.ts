/** A user's token from the app's own server: text, or JSON with a `token`. Rejects when it answers anything but a success. */
export async function tokenFrom(url: string): Promise<string> {
  const reply = await fetch(url, { credentials: 'same-origin', cache: 'no-store' })
  if (!reply.ok) throw new Error(`${url} answered ${reply.status}`)
  const text = (await reply.text()).trim()
  return text.startsWith('{') ? String((JSON.parse(text) as { token?: unknown }).token ?? '') : text
}
