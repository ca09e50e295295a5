// The service worker of an app needs no more than this line, before handlers of its own.
importScripts('client/sw.js')

// The page of the demo shows when a notification was shown. It does not list the shown ones: Chromium forgets one that is listed while it is shown.
const channel = new BroadcastChannel('belfry-demo-push')
const { showNotification } = ServiceWorkerRegistration.prototype
ServiceWorkerRegistration.prototype.showNotification = async function (title, options) {
  await showNotification.call(this, title, options)
  channel.postMessage({ id: options.tag, at: Date.now() })
}
