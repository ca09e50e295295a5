/** Fetches a user's token from the app's server: text, or JSON with a `token`. Rejects if the status is not 2xx. */
export async function tokenFrom(url: string): Promise<string> {
  const reply = await fetch(url, { cache: 'no-store' })
  if (!reply.ok) throw new Error(`${url} answered ${reply.status}`)
  const text = (await reply.text()).trim()
  return text.startsWith('{') ? String((JSON.parse(text) as { token?: unknown }).token ?? '') : text
}
