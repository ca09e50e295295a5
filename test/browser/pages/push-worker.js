// The service worker of an app that has pushes of its own.
importScripts('/client/sw.js')

// Chromium forgets a notification if something lists the shown ones while it is being shown: a test waits for this list.
self.completed = []
const { showNotification } = ServiceWorkerRegistration.prototype
ServiceWorkerRegistration.prototype.showNotification = async function (title, options) {
  await showNotification.call(this, title, options)
  self.completed.push(options.tag)
}

self.seen = []
self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))
self.addEventListener('push', (event) => {
  const text = event.data?.text()
  self.seen.push(`push: ${text}`)
  event.waitUntil(self.registration.showNotification(`own: ${text}`, { tag: 'own' }))
})
self.addEventListener('notificationclick', (event) => self.seen.push(`click: ${event.notification.title}`))
