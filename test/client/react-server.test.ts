import { pathToFileURL } from 'node:url'
import { createElement, type FunctionComponent, StrictMode } from 'react'
import { renderToString } from 'react-dom/server'
import t from 'tap'

type Component = FunctionComponent<Record<string, unknown>>

t.test('the provider, the hooks and the elements render on a server, without a warning', async (t) => {
  const warnings: unknown[][] = []
  const { error, warn } = console
  console.error = (...words) => void warnings.push(words)
  console.warn = (...words) => void warnings.push(words)
  t.teardown(() => Object.assign(console, { error, warn }))
  const react = await import(pathToFileURL('packages/client/dist/react.js').href)
  const { BelfryProvider, BelfryBell, BelfryInbox } = react as Record<string, Component>
  const { useNotifications, useUnreadCount } = react as { useNotifications(): { items: unknown[] }; useUnreadCount(): number }
  const Counts = () => createElement('p', null, `${useUnreadCount()} of ${useNotifications().items.length}`)
  const Row = () => createElement('b', null, 'a row')
  const bell = createElement(
    BelfryBell as Component,
    {
      className: 'mine',
      style: { color: 'red' },
      badge: 'unseen',
      toasts: true,
      tokenUrl: '/token',
      user: 'alice',
      renderItem: Row,
      onSelect: () => {},
      messages: { title: 'Mitteilungen' },
      tabs: [{ label: 'Syncs', types: ['sync.*'] }]
    },
    createElement('i', { slot: 'footer' }, 'a footer')
  )
  const inbox = createElement(BelfryInbox as Component, { url: 'https://notify.example.com', getToken: () => 'token', lang: 'de' })
  const service = { url: 'https://notify.example.com', getToken: () => 'token' }
  const page = createElement(BelfryProvider as Component, service, createElement(Counts), bell, inbox)
  t.equal(
    renderToString(createElement(StrictMode, null, page)),
    '<p>0 of 0</p>' +
      '<belfry-bell class="mine" style="color:red" token-url="/token" user="alice" badge="unseen" toasts=""><i slot="footer">a footer</i></belfry-bell>' +
      '<belfry-inbox url="https://notify.example.com" lang="de"></belfry-inbox>'
  )
  t.match(
    renderToString(createElement(BelfryBell as Component, { url: 'https://notify.example.com' })),
    '<belfry-bell url=',
    'without a provider'
  )
  t.same(warnings, [])
})
