// The parts that the pages of the examples share. A tab has a session of its own, so that two tabs can be two people.

let session = JSON.parse(sessionStorage.getItem('session') ?? 'null')

/** Calls a route of the app. Throws an error with its status; the error has none if the app could not be reached. */
export async function call(method, path, body) {
  const isBinary = body instanceof Uint8Array
  const response = await fetch(path, {
    method,
    headers: {
      ...(session && { authorization: `Session ${session.session}` }),
      ...(body && { 'content-type': isBinary ? 'application/octet-stream' : 'application/json' })
    },
    body: isBinary || !body ? body : JSON.stringify(body)
  })
  if (response.status === 401) signOut()
  if (!response.ok) throw Object.assign(new Error((await response.json()).message), { status: response.status })
  return response.json()
}

/** Returns the element with an id. */
export const find = (id) => document.getElementById(id)

/** Returns the name of the person, and shows it. If the tab has no session, the form asks for the name. */
export async function whoAmI() {
  const dialog = find('sign-in')
  while (!session) {
    dialog.showModal()
    await new Promise((resolve) => dialog.addEventListener('submit', resolve, { once: true }))
    session = await call('POST', '/session', { name: dialog.querySelector('input').value.trim() }).catch(() => null)
    if (session) sessionStorage.setItem('session', JSON.stringify(session))
  }
  find('me').replaceChildren(avatar(session.name), session.name)
  return session.name
}

export const getToken = async () => (await call('GET', '/token')).token

/** Forgets the session, which ends when the server of the example is restarted. */
export function signOut() {
  sessionStorage.removeItem('session')
  location.reload()
}

/** Returns a hue for a name, so that a person has the same colour everywhere. */
export function hueOf(name) {
  return [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7)
}

/** Returns an element. Its text is never read as HTML. */
export function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

/** Returns a round sign of a person. */
export function avatar(name) {
  const made = element('span', { className: 'avatar', title: name }, [...name][0].toUpperCase())
  made.style.setProperty('--hue', hueOf(name))
  return made
}

/** Returns a name for a path: lower case, digits and hyphens. */
export const slugOf = (text) =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 32)
