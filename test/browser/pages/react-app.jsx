import { BelfryProvider, useNotifications, useUnreadCount } from '@belfry/client/react'
import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'

const { searchParams } = new URL(location.href)
const getToken = async () => (await fetch(`/token?user=${searchParams.get('user')}`)).text()

function Count() {
  globalThis.countRenders = (globalThis.countRenders ?? 0) + 1
  return <output id="count">{useUnreadCount()}</output>
}

/** The rendered values, and their user. */
globalThis.rendered = []

function Inbox({ user }) {
  const { items, hasMore, loadMore, mark, answer, markAllRead, state } = useNotifications()
  globalThis.rendered.push({ user, titles: items.map(({ title }) => title) })
  return (
    <>
      <p id="state">{state}</p>
      <ul>
        {items.map(({ id, title, state: is, actions = [], answering, answer: given }) => (
          <li key={id} className={is}>
            <button type="button" onClick={() => mark(id)}>
              {title}
            </button>
            {given ? <b>answered: {given.action}</b> : null}
            {(given ? [] : actions).map(({ action, title: label }) => (
              <button key={action} type="button" disabled={answering !== undefined} onClick={() => answer(id, action).catch(() => {})}>
                {label}
              </button>
            ))}
          </li>
        ))}
      </ul>
      {hasMore && (
        <button type="button" id="more" onClick={() => loadMore()}>
          More
        </button>
      )}
      <button type="button" id="all" onClick={() => markAllRead()}>
        Mark all read
      </button>
    </>
  )
}

function App() {
  const [on, setOn] = useState(true)
  const [user, setUser] = useState(searchParams.get('user'))
  globalThis.signIn = setUser
  return (
    <>
      <button type="button" id="switch" onClick={() => setOn(!on)}>
        Switch
      </button>
      {on && (
        <BelfryProvider url={searchParams.get('service')} user={user} getToken={() => getToken()}>
          <Count />
          <Inbox user={user} />
        </BelfryProvider>
      )}
    </>
  )
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <App />
  </StrictMode>
)
