const SHOWN_MS = 2400

/** Shows the toasts of a screen, one at a time. */
export function toaster(belfry) {
  const element = document.getElementById('toast')
  let timer
  belfry.on('toast', ({ notification, replay, count }) => {
    if (replay && count === undefined) return
    element.textContent = count === undefined ? notification.title : `${count} new notifications`
    element.classList.add('up')
    clearTimeout(timer)
    timer = setTimeout(() => element.classList.remove('up'), SHOWN_MS)
  })
}
