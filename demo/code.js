import { service } from './shared.js'

const $ = (id) => document.getElementById(id)

const quoted = (value) => value.replaceAll("'", "'\\''")
const isPlain = (key) => /^[a-z]+$/i.test(key)

/** Returns a value as a JavaScript literal. */
function literal(value, indent = '') {
  if (typeof value === 'string') return `'${value.replaceAll("'", "\\'")}'`
  if (Array.isArray(value)) return `[${value.map((item) => literal(item, indent)).join(', ')}]`
  if (typeof value !== 'object' || value === null) return String(value)
  return `{ ${Object.entries(value)
    .map(([key, item]) => `${isPlain(key) ? key : `'${key}'`}: ${literal(item, indent)}`)
    .join(', ')} }`
}

const bell = (action) => `<script type="module" src="${service}/client/bell.js"></script>
<belfry-bell url="${service}" token-url="/belfry-token"${action === 'push' ? ' service-worker="/sw.js"' : ''}></belfry-bell>
<script>
  document.querySelector('belfry-bell').tabs = [{ label: 'Orders', types: ['order.*'] }]
</script>`

function curl(body, token) {
  return [
    `curl -X POST ${service}/v1/notifications \\`,
    `  -H "authorization: Bearer ${token}" \\`,
    '  -H "content-type: application/json" \\',
    `  -d '${quoted(JSON.stringify(body))}'`
  ].join('\n')
}

/** Returns the call of the SDK for services. A recall needs the id of the result; a burst is many calls, which go together. */
function sdk(action, { to, ...notification }) {
  const fields = Object.entries(notification).map(([key, value]) => `  ${key}: ${literal(value)}`)
  const call = `belfry.notify(${literal(to)}, {\n${fields.join(',\n')}\n})`
  const uses = {
    recall: () => `const { id } = await ${call}\nawait belfry.recall(${literal(to)}, id)`,
    burst: () => `const calls = Array.from({ length: 50 }, () => ${call.replaceAll('\n', '\n  ')})\nawait Promise.all(calls)`
  }
  return `import { Belfry } from '@belfry/server' // npm pack --workspace packages/server

const belfry = new Belfry('${service}', {
  getToken: () => process.env.BELFRY_TOKEN // such as the token of the curl tab
})

${(uses[action] ?? (() => `await ${call}`))()}`
}

const SDK_NOTES = {
  send: 'Resolves when the notification is stored. A retry never sends twice.',
  recall: 'The result has the id.',
  plug: 'The sender does nothing about it.',
  burst: 'The calls go together in one request. Each result says parked and releaseAt if it waits.',
  team: 'Resolves when the broadcast is stored. It reaches the members one by one.'
}

const BELL_NOTES = {
  send: 'The bell in your page. Your server answers /belfry-token with a JWT of the signed-in user.',
  progress: 'The same bell: the row with the same collapseKey changes in place.',
  expiring: 'The same bell: the row leaves by itself, also without a connection.',
  scheduled: 'The same bell: the row appears when it is due.',
  question: 'The same bell shows the buttons. The first answer of any screen wins.',
  recall: 'The same bell: the row leaves.',
  plug: 'No code: the bell reconnects, resumes after the last row it has, and shows each id once.',
  team: 'The same bell on the page of each member.',
  push: `The panel has the switch. Your /sw.js has one line: importScripts('${service}/client/sw.js')`,
  fallback: 'The same bell: what is read there in time goes into no mail.'
}

const NOTES = {
  send: 'One call. The answer comes when the notification is stored.',
  progress: 'Each call replaces the one before with the same collapseKey.',
  expiring: 'ttl, in seconds.',
  scheduled: 'deliverAt, in Unix milliseconds.',
  question: 'actions become buttons on every screen.',
  recall: 'The answer has an id: DELETE /v1/users/<user>/notifications/<id> takes it back.',
  plug: 'The sender does nothing about it: the same call.',
  team: 'The topic has the members that PATCH /v1/topics/<topic>/members gave it.',
  push: 'after: 0 pushes at once if no device has received it; without the field, after 3 s.',
  fallback: 'after, in seconds. If nobody has read it by then, WEBHOOK_URL gets notification.fallback.'
}

/** The three tabs with the code of one action. */
export class CodeTabs {
  #tab = 'curl'
  #action = 'send'
  #body = {}
  #token = ''
  #full = ''
  #limit = ''

  constructor() {
    const tabs = [...$('tabs').children]
    $('tabs').addEventListener('click', ({ target }) => target.role === 'tab' && this.#select(target))
    $('tabs').addEventListener('keydown', ({ key, target }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key]
      if (step === undefined) return
      const next = tabs.at((tabs.indexOf(target) + step) % tabs.length)
      next.focus()
      this.#select(next)
    })
    $('copy').addEventListener('click', async () => {
      await navigator.clipboard.writeText(this.#full)
      $('copy').textContent = 'Copied'
      setTimeout(() => this.#render(), 1500)
    })
  }

  /** @param token of the publisher; '' if the page has none */
  setToken(token) {
    this.#token = token
    this.#render()
  }

  /** @param limit the most notifications that a user gets, in words; '' without a limit */
  setLimit(limit) {
    this.#limit = limit
  }

  show(action, body) {
    this.#action = action
    this.#body = body
    this.#render()
  }

  #select(tab) {
    this.#tab = tab.id.replace('tab-', '')
    for (const other of $('tabs').children) {
      other.setAttribute('aria-selected', String(other === tab))
      other.tabIndex = other === tab ? 0 : -1
    }
    $('panel').setAttribute('aria-labelledby', tab.id)
    this.#render()
  }

  #note() {
    const isBell = this.#tab === 'bell'
    if (this.#action !== 'burst') return { curl: NOTES, sdk: { ...NOTES, ...SDK_NOTES }, bell: BELL_NOTES }[this.#tab][this.#action]
    if (isBell && this.#limit === '') return 'No code: the rows come in the order of the calls.'
    if (isBell) return `No code: the service releases at most ${this.#limit}, in order.`
    if (this.#tab === 'sdk') return SDK_NOTES.burst
    return `The same call, 50 times.${this.#limit === '' ? '' : ' The answer says parked and releaseAt for those that wait.'}`
  }

  #render() {
    const bearer = this.#token === '' ? '$(npx belfry token --user my-service --scope publish)' : this.#token
    const short = this.#token === '' ? bearer : `${bearer.slice(0, 12)}…`
    const code = { curl: () => curl(this.#body, short), sdk: () => sdk(this.#action, this.#body), bell: () => bell(this.#action) }[
      this.#tab
    ]()
    this.#full = this.#tab === 'curl' ? curl(this.#body, bearer) : code
    $('code-note').textContent = this.#note()
    $('snippet').textContent = code
    $('copy').textContent = this.#full === code ? 'Copy' : 'Copy with the whole token'
  }
}
