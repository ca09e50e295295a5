import { BelfryProvider, usePush } from '@belfry/client/react'
import { createRoot } from 'react-dom/client'

const { searchParams } = new URL(location.href)
const getToken = async () => (await fetch(`/token?user=${searchParams.get('user')}`)).text()

function Switch() {
  const { push, enablePush, disablePush } = usePush()
  const toggle = () => (push === 'on' ? disablePush() : enablePush({ serviceWorker: '/push-worker.js' }))
  return (
    <button type="button" onClick={toggle}>
      Switch, push: {push}
    </button>
  )
}

createRoot(document.querySelector('#root')).render(
  <BelfryProvider url={searchParams.get('service')} getToken={getToken}>
    <Switch />
  </BelfryProvider>
)
