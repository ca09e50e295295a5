const $ = (id) => document.getElementById(id)

/** What the buttons depend on. `isReady`: the service signs for this page. `isClosed`: the screens are closed. */
export const page = { isReady: false, isClosed: false }

/** Shows the number of a claim and its note. `state` is `good`, `wait` or ''. */
export function say(claim, number, note, state = '') {
  $(`${claim}-number`).textContent = number
  $(`${claim}-number`).dataset.state = state
  if (note !== undefined && $(`${claim}-note`) !== null) $(`${claim}-note`).textContent = note
}

const presses = new Map()

/** Returns `say` of a claim for the steps of one button. Once another button of the claim was pressed, it does nothing: the line belongs to the last one. */
export function sayUntilNext(claim) {
  const mine = (presses.get(claim) ?? 0) + 1
  presses.set(claim, mine)
  return (...said) => {
    if (mine === presses.get(claim)) say(claim, ...said)
  }
}

export function fail({ message }) {
  $('problem').textContent = message
}

/** Returns true if a button may be pressed. Those of the claims about users who do not look need no screen. */
export const mayPress = (button) => page.isReady && (!page.isClosed || button.closest('.reach') !== null)

const running = new Set()

/** Runs the steps of a claim with its buttons off. An error is shown below the first claim. */
export async function run(buttons, steps) {
  $('problem').textContent = ''
  for (const button of buttons) {
    running.add(button)
    button.disabled = true
  }
  await steps().catch(fail)
  for (const button of buttons) {
    running.delete(button)
    button.disabled = !mayPress(button)
  }
}

/** Switches the buttons of all claims on or off, except those whose steps run. */
export function renderButtons() {
  for (const button of document.querySelectorAll('.claim button')) button.disabled = running.has(button) || !mayPress(button)
}
