import { Belfry } from './client/index.js'

const { searchParams } = new URL(location.href)
const user = searchParams.get('user')
const belfry = new Belfry(searchParams.get('service'), {
  getToken: async () => (await fetch(`/token?user=${globalThis.signedIn ?? user}`)).text()
})
globalThis.belfry = belfry
globalThis.states = []
globalThis.clicks = []
belfry.on('push', ({ push }) => globalThis.states.push(push))
belfry.on('pushClick', (ctx) => {
  globalThis.clicks.push({ id: ctx.id, url: ctx.url })
  if (globalThis.routes) ctx.preventDefault()
})
document.querySelector('#enable').addEventListener('click', async () => {
  globalThis.enabled = await belfry.enablePush({ serviceWorker: '/push-worker.js' }).catch(String)
})
belfry.connect()
