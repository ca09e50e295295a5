import { BelfryBell, BelfryInbox, BelfryProvider, useUnreadCount } from '@belfry/client/react'
import { createContext, StrictMode, useContext, useEffect, useState } from 'react'
import { createRoot, hydrateRoot } from 'react-dom/client'

const { searchParams } = new URL(location.href)
const getToken = async () => (await fetch(`/token?user=${searchParams.get('user')}`)).text()
const Accent = createContext('none')

globalThis.events = []
globalThis.mountedRows = 0
const heard = (name) => (event) => {
  globalThis.events.push([name, event.detail?.title ?? event.detail?.notification?.title ?? null])
  if (name === 'select') event.preventDefault()
}

function Row({ item }) {
  const [clicks, setClicks] = useState(0)
  useEffect(() => {
    globalThis.mountedRows++
    return () => {
      globalThis.mountedRows--
    }
  }, [])
  return (
    <div className="own-row" data-accent={useContext(Accent)}>
      {item.title}: {item.state}
      <button type="button" className="clicks" onClick={() => setClicks(clicks + 1)}>
        {clicks} clicks
      </button>
    </div>
  )
}

const Count = () => <output id="count">{useUnreadCount()}</output>

function App() {
  const [user, setUser] = useState(searchParams.get('user'))
  const [isOn, setOn] = useState(true)
  const [isPlain, setPlain] = useState(false)
  Object.assign(globalThis, { setUser, setOn, setPlain })
  const [bell, setBell] = useState(null)
  globalThis.bell = bell
  return (
    <BelfryProvider url={searchParams.get('service')} user={user} getToken={() => getToken()}>
      <Count />
      <Accent.Provider value="blue">
        {isOn && (
          <BelfryBell
            ref={setBell}
            className="my-bell"
            badge="unseen"
            placement="start"
            tabs={[{ label: 'Syncs', types: ['sync.*'] }]}
            renderItem={isPlain ? undefined : Row}
            onNotification={heard('notification')}
            onSelect={heard('select')}
            onOpen={heard('open')}
            onClose={heard('close')}
            onError={heard('error')}
          >
            <b slot="header">of my app</b>
          </BelfryBell>
        )}
        <BelfryInbox id="inbox" style={{ maxWidth: '40rem' }} lang="de" onTab={heard('tab')} />
      </Accent.Provider>
    </BelfryProvider>
  )
}

const root = document.getElementById('root')
const tree = (
  <StrictMode>
    <App />
  </StrictMode>
)
if (root.firstElementChild) hydrateRoot(root, tree)
else createRoot(root).render(tree)
