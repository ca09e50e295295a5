import './client/bell.js'

const { searchParams } = new URL(location.href)
const bell = document.querySelector('belfry-bell')
globalThis.bell = bell
globalThis.events = []
for (const name of ['belfry-open', 'belfry-close', 'belfry-notification', 'belfry-select', 'belfry-toast', 'belfry-error']) {
  addEventListener(name, (event) => globalThis.events.push(event.type))
}
if (searchParams.has('dir')) {
  document.documentElement.dir = searchParams.get('dir')
  document.documentElement.lang = 'ar'
  bell.messages = {
    title: 'الإشعارات',
    button: (unread) => `الإشعارات، ${unread} غير مقروء`,
    markAllRead: 'تحديد الكل كمقروء',
    justNow: 'الآن',
    unread: 'غير مقروء'
  }
}
bell.setAttribute('token-url', `/token?user=${searchParams.get('user')}`)
bell.setAttribute('url', searchParams.get('service'))
