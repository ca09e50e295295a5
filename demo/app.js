import './client/bell.js'
import { startScreen } from './screen-client.js'
import { toaster } from './toast.js'

/** In narrower windows the open panel would cover the app. */
const PANEL_WIDTH = 600

const { belfry, user } = startScreen()
const bell = document.getElementById('bell')
bell.client = belfry
bell.tabs = [{ label: 'Orders', types: ['order.*'] }]
document.getElementById('avatar').textContent = user.slice(0, 1).toUpperCase()
toaster(belfry)
belfry.connect()
await belfry.ready().catch(() => {})

if (innerWidth >= PANEL_WIDTH && parent !== window) {
  const before = parent.document.activeElement
  await bell.open()
  // Opening the panel moves the focus there. Nobody pressed the bell here, so the focus goes back.
  document.activeElement?.blur()
  if (before instanceof parent.HTMLElement && before !== parent.document.body) before.focus({ preventScroll: true })
  else parent.focus()
}
