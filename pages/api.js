// Completes Swagger UI: the colour scheme of the system, the demo's tokens at Authorize, and names that assistive technology needs.

const dark = matchMedia('(prefers-color-scheme: dark)')
const applyScheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', applyScheme)
applyScheme()

/** The element is in the page if the demo is on. */
const hasDemo = document.querySelector('a[href="demo"]') !== null

/** Resolves with the tokens that the demo signs for this machine; undefined if it signs none. */
let tokens
function demoTokens() {
  tokens ??= fetch('demo/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user: 'alice' })
  }).then((reply) => (reply.ok ? reply.json() : undefined))
  return tokens
}

/** Sets the value of an input that React controls. */
function fill(input, value) {
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, value)
  input.dispatchEvent(new Event('input', { bubbles: true }))
}

/** Adds a button below the token's input that fills in the demo's token. The first scheme is that of services, the second that of users. */
async function offerTokens(dialog) {
  const answer = await demoTokens().catch(() => undefined)
  if (answer === undefined) return
  for (const [index, input] of [...dialog.querySelectorAll('input[aria-label="auth-bearer-value"]')].entries()) {
    if (input.dataset.offered) continue
    input.dataset.offered = 'true'
    const [name, token] = index === 0 ? ['a service (scope publish)', answer.publisher] : ['the user alice', answer.token]
    const button = Object.assign(document.createElement('button'), {
      type: 'button',
      className: 'demo-token',
      textContent: `Use the demo’s token of ${name}, valid for an hour`
    })
    button.addEventListener('click', () => {
      fill(input, token)
      input.focus()
    })
    input.closest('section, .wrapper, div').append(button)
  }
}

/** Sets attributes that are missing or wrong in the markup of Swagger UI. */
const ATTRIBUTES = [
  ['h3.opblock-tag, section.models > h4, .dialog-ux h3', 'aria-level', '2'],
  ['.dialog-ux h4, .opblock h4', 'aria-level', '3'],
  ['.opblock h5', 'aria-level', '4'],
  ['.information-container, .scheme-container', 'role', 'region'],
  ['.information-container', 'aria-label', 'About'],
  ['.scheme-container', 'aria-label', 'Authorization'],
  ['.examples-select-element', 'aria-label', 'Examples'],
  ['.opblock pre', 'tabindex', '0'],
  ['.close-modal', 'aria-label', 'Close']
]

function complete() {
  for (const [selector, name, value] of ATTRIBUTES) {
    for (const element of document.querySelectorAll(selector)) if (element.getAttribute(name) !== value) element.setAttribute(name, value)
  }
  // The link inside each row's button repeats what the button does.
  for (const link of document.querySelectorAll('.opblock-summary-control a[href], .opblock-tag a[href]')) link.removeAttribute('href')
  // These names differ from the visible text.
  for (const button of document.querySelectorAll('.modal-btn[aria-label]')) button.removeAttribute('aria-label')
  const dialog = document.querySelector('.dialog-ux .modal-ux')
  if (dialog === null || dialog.dataset.named) return
  dialog.dataset.named = 'true'
  dialog.setAttribute('role', 'dialog')
  dialog.setAttribute('aria-modal', 'true')
  dialog.setAttribute('aria-label', 'Authorize')
  if (hasDemo) offerTokens(dialog)
}

new MutationObserver(complete).observe(document.getElementById('swagger-ui'), { childList: true, subtree: true })
