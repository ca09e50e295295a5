import './client/bell.js'

const { searchParams } = new URL(location.href)
const bell = document.querySelector('belfry-bell')
globalThis.bell = bell
bell.setAttribute('token-url', `/token?user=${searchParams.get('user')}`)
bell.setAttribute('url', searchParams.get('service'))
