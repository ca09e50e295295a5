import type { Page, Worker } from 'playwright-core'
import t from 'tap'
import { makeVapidKeys } from '../../services/reach/vapid.ts'
import type { Subscribed } from '../fixtures/push-service.ts'
import { ACTIONS, publish, quiet, startReach, VAPID } from '../fixtures/reach.ts'
import { until } from '../fixtures/wait.ts'
import { call, userToken } from '../helper.ts'
import { launch, startHost, untilInPage } from './browser.ts'
import { click, PushDelivery, shownBy, untilShown, usePushService, workerOf } from './push-browser.ts'

t.setTimeout(180_000)

t.test('Web Push in Chromium, with the service worker of an app', async (t) => {
  const host = await startHost(t)
  const { service, push } = await startReach(t, 'embedded', { CORS_ORIGIN: host.url, PUSH_AFTER_SECONDS: '0', PUSH_UNLESS: 'read' })
  const browser = await launch(t)

  /** Opens a page of a browser of its own, and switches push on. */
  const start = async (user = 'alice') => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    await context.grantPermissions(['notifications'], { origin: host.url })
    const made = await usePushService(context, push)
    const open = async (path = '/push.html', as = user): Promise<Page> => {
      const page = await context.newPage()
      await page.goto(`${host.url}${path}?${new URLSearchParams({ user: as, service: service.url })}`)
      await untilInPage(page, 'globalThis.belfry?.state === "connected"')
      return page
    }
    const page = await open()
    const delivery = await PushDelivery.start(t, page)
    await page.click('#enable')
    await untilInPage(page, 'globalThis.enabled !== undefined')
    t.equal(await page.evaluate('enabled'), 'on')
    const subscribed = (): Subscribed => [...made.values()].at(-1) as Subscribed
    /** Publishes, and brings the push to the browser. */
    const pushed = async (more: Record<string, unknown> = {}): Promise<string> => {
      const before = push.requests(subscribed()).length
      const id = await publish(service, { to: user, ...more })
      await until(() => push.requests(subscribed()).length === before + 1, 'a push')
      await delivery.forward(push, subscribed(), before)
      await untilShown(context, id)
      return id
    }
    return { context, page, open, delivery, subscribed, pushed, worker: () => workerOf(context) }
  }
  const tags = async (worker: Worker): Promise<string[]> => (await shownBy(worker)).map(({ tag }) => tag).toSorted()
  const windows = (worker: Worker): Promise<string[]> => worker.evaluate('globalThis.windows ?? []')

  await t.test('a push is shown once, replaced by its tag, and hidden from the handlers of the app', async (t) => {
    const { context, worker, pushed, delivery, subscribed } = await start('shown')
    const id = await pushed({ title: 'Sync finished', data: { body: '12 records' }, actions: ACTIONS })
    const [first] = await shownBy(worker())
    t.match(first, { title: 'Sync finished', body: '12 records', tag: id, actions: ['Approve', 'Reject'] })
    await delivery.forward(push, subscribed())
    await delivery.deliver('of the app')
    await untilShown(context, 'own')
    t.same(await tags(worker()), [id, 'own'].toSorted(), 'the repeated push replaced what it showed')
    t.same(await worker().evaluate('seen'), ['push: of the app'])
    await delivery.deliver({ web_push: 8030, notification: { title: 'of another service' } })
    await until(async () => (await worker().evaluate('seen.length')) === 2, 'a push without belfry')
    await click(worker(), 'own')
    t.match(await worker().evaluate('seen.at(-1)'), /^click: own/)
    t.same(await windows(worker()), [])
  })

  await t.test('a notification that was read, answered, replaced or recalled elsewhere is closed', async (t) => {
    const user = 'closed'
    const { worker, pushed } = await start(user)
    const [read, answered, old, recalled, kept] = [
      await pushed({ title: 'read' }),
      await pushed({ title: 'answered', actions: ACTIONS }),
      await pushed({ title: 'replaced', collapseKey: 'k' }),
      await pushed({ title: 'recalled' }),
      await pushed({ title: 'kept' })
    ]
    t.equal((await tags(worker())).length, 5)
    await call(service, 'POST', `/v1/users/${user}/notifications/mark`, { ids: [read], state: 'read' })
    await until(async () => !(await tags(worker())).includes(read), 'read')
    await call(service, 'POST', `/v1/me/notifications/${answered}/actions/approve`, { deviceId: 'phone' }, { token: userToken(user) })
    await until(async () => !(await tags(worker())).includes(answered), 'answered')
    await call(service, 'DELETE', `/v1/users/${user}/notifications/${recalled}`)
    await until(async () => !(await tags(worker())).includes(recalled), 'recalled')
    const newer = await pushed({ title: 'replacing', collapseKey: 'k' })
    await until(async () => !(await tags(worker())).includes(old), 'replaced')
    t.same(await tags(worker()), [kept, newer].toSorted())
    await call(service, 'POST', `/v1/users/${user}/notifications/mark`, { ids: [kept, newer], state: 'archived' })
    await until(async () => (await tags(worker())).length === 0, 'all')
  })

  await t.test('what was read while no tab was open is closed by the next one', async (t) => {
    const user = 'later'
    const { worker, page, open, pushed } = await start(user)
    await page.evaluate('belfry.disconnect()')
    const [read, kept] = [await pushed({ title: 'read' }), await pushed({ title: 'kept' })]
    await call(service, 'POST', `/v1/users/${user}/notifications/mark`, { ids: [read], state: 'read' })
    t.same(await tags(worker()), [read, kept].toSorted())
    await page.close()
    await open()
    await until(async () => (await tags(worker())).join() === kept, 'only the unread one')
  })

  await t.test('a click focuses a tab, which goes to the address, or lets the app do it', async (t) => {
    const { worker, page, pushed } = await start('clicks')
    await page.evaluate('globalThis.routes = true')
    const id = await pushed({ title: 'Order', ref: '/orders/1' })
    await click(worker(), id)
    await until(async () => (await page.evaluate('clicks.length')) === 1, 'the tab was told')
    t.same(await page.evaluate('clicks'), [{ id, url: `${host.url}/orders/1` }])
    t.same(await windows(worker()), [`focus ${page.url()}`])
    t.notOk((await tags(worker())).includes(id), 'it is closed')
    t.match(page.url(), /push\.html/, 'the app did not go')

    await page.evaluate('globalThis.routes = false')
    await click(worker(), await pushed({ title: 'Order', ref: '/push.html?other' }))
    await page.waitForURL(`${host.url}/push.html?other`)
  })

  await t.test('without a tab a click opens the address, and never a hostile one', async (t) => {
    const { context, worker, page, delivery, pushed } = await start('opens')
    // If nothing is unread, the SDK closes what is shown.
    await pushed({ title: 'unread' })
    const deliver = (tag: string, navigate: string) =>
      delivery.deliver({ web_push: 8030, notification: { title: tag, tag, navigate }, belfry: { id: tag, eventId: '1' } })
    const addresses = ['/orders/1', 'https://other.example.com/x', 'javascript:alert(1)', 'data:text/html,x', 'blob:x', '/']
    for (const [index, navigate] of addresses.entries()) {
      await deliver(`n${index}`, navigate)
      await untilShown(context, `n${index}`)
    }
    await page.goto('about:blank')
    for (const [index] of addresses.entries()) await click(worker(), `n${index}`)
    t.same(await windows(worker()), [
      `open ${host.url}/orders/1`,
      'open https://other.example.com/x',
      ...Array.from({ length: 4 }, () => `open ${host.url}/`)
    ])
  })

  await t.test('a tab that a click opened is told of it, once', async (t) => {
    const { worker, page, pushed } = await start('newTab')
    const url = `${page.url()}&new`
    const id = await pushed({ title: 'Order', ref: url.slice(host.url.length) })
    await page.goto('about:blank')
    await click(worker(), id)
    t.same(await windows(worker()), [`open ${url}`])
    await page.goto(url)
    await until(async () => (await page.evaluate('clicks.length')) === 1, 'the tab was told')
    t.same(await page.evaluate('clicks'), [{ id, url }])
    await page.reload()
    await until(() => page.evaluate("states.at(-1) === 'on'"), 'the tab knows that push is on')
    t.same(await page.evaluate('clicks'), [])
  })

  await t.test('a tab without the SDK does not swallow a click', async (t) => {
    const { worker, page, pushed } = await start('silent')
    const id = await pushed({ title: 'Order', ref: '/orders/1' })
    await page.goto(`${host.url}/tab.html`)
    await click(worker(), id)
    t.same(await windows(worker()), [`open ${host.url}/orders/1`])
  })

  await t.test('a button answers by the link, without a token; an action with an address opens it', async (t) => {
    const user = 'answers'
    const { worker, pushed } = await start(user)
    const actions = [...ACTIONS, { action: 'view', title: 'View', url: '/orders/1' }]
    const id = await pushed({ title: 'Deploy?', actions, ref: '/orders/1' })
    await click(worker(), id, 'approve')
    const answerOf = async (id: string) => (await call(service, 'GET', `/v1/users/${user}/notifications/${id}`)).body.answer
    await until(async () => (await answerOf(id)) !== undefined, 'the answer')
    t.match(await answerOf(id), { action: 'approve', deviceId: 'link' })
    t.same(await windows(worker()), [], 'nothing is opened')
    const second = await pushed({ title: 'Again?', actions, ref: '/orders/1' })
    await click(worker(), second, 'view')
    await until(async () => (await answerOf(second)) !== undefined, 'the second answer')
    t.match(await answerOf(second), { action: 'view' })
    t.same(await windows(worker()), [`open ${host.url}/orders/1`])
    const kept = await worker().evaluate(`new Promise((resolve) => {
      const opening = indexedDB.open('belfry')
      opening.onsuccess = () => {
        const all = opening.result.transaction('push').objectStore('push').getAll()
        all.onsuccess = () => { opening.result.close(); resolve(all.result) }
      }
    })`)
    t.notMatch(JSON.stringify(kept), /eyJ/, 'the worker keeps no token')
  })

  await t.test(
    'an answer that did not arrive shows the notification again; one that comes too late shows it without buttons',
    async (t) => {
      const { context, worker, pushed } = await start('failing')
      let status = 503
      await context.route('**/v1/answers', (route) =>
        route.fulfill({ status, headers: { 'access-control-allow-origin': '*' }, body: '{}' })
      )
      const id = await pushed({ title: 'Deploy?', data: { body: 'Now' }, actions: ACTIONS })
      await click(worker(), id, 'approve')
      t.match(await shownBy(worker()), [{ title: 'Deploy?', body: 'Now', tag: id, actions: ['Approve', 'Reject'] }])
      status = 404
      await click(worker(), id, 'approve')
      t.match(await shownBy(worker()), [{ title: 'Deploy?', actions: [] }])
      const second = await pushed({ title: 'Again?', actions: ACTIONS })
      status = 409
      await click(worker(), second, 'approve')
      t.same(await tags(worker()), [id], 'another device was first')
    }
  )

  await t.test('push stays on over a reload; a subscription that the browser renewed is given to the service', async (t) => {
    const { page, open, subscribed, pushed } = await start('renewed')
    await page.reload()
    await untilInPage(page, 'globalThis.belfry?.push === "on"')
    const before = subscribed()
    const second = await open()
    await untilInPage(second, 'belfry.push === "on"')
    await page.evaluate('localStorage.removeItem("test:subscription")')
    await page.reload()
    await until(() => subscribed() !== before, 'another subscription')
    await untilInPage(page, 'globalThis.belfry?.push === "on"')
    await pushed({ title: 'to the new one' })
    t.equal(push.requests(before).length, 0)
  })

  await t.test(
    'a service that has lost the subscription gets it again: from the next page, and when its store came back empty',
    async (t) => {
      const { page, subscribed, pushed } = await start('lost')
      const path = `/v1/me/devices/${await page.evaluate('belfry.deviceId')}/push`
      const given = (): Promise<unknown> => page.waitForResponse((reply) => reply.request().method() === 'PUT' && reply.ok())
      await call(service, 'DELETE', path, undefined, { token: userToken('lost') })
      await Promise.all([given(), page.reload()])
      await pushed({ title: 'after the reload' })

      const again = given()
      await call(service, 'DELETE', '/v1/users/lost')
      await until(() => page.evaluate<boolean>('belfry.connect(), belfry.state === "connected"'), 'the same page in the new log')
      await again
      await pushed({ title: 'in the new log' })
      t.equal(push.requests(subscribed()).length, 2)
    }
  )

  await t.test('if the key of the service has changed, the next page subscribes with the new one, once', async (t) => {
    const { context, page, subscribed, pushed } = await start('rekeyed')
    const before = subscribed()
    const { publicKey } = makeVapidKeys()
    await context.route('**/v1/push/key', (route) =>
      route.fulfill({ json: { publicKey }, headers: { 'access-control-allow-origin': '*' } })
    )
    const given = page.waitForResponse((response) => response.request().method() === 'PUT')
    await page.reload()
    t.equal((await given).status(), 204)
    t.not(subscribed(), before)
    await pushed({ title: 'to the new one' })
    t.equal(push.requests(before).length, 0)
    t.match(await page.evaluate('localStorage.getItem("test:subscription")'), publicKey)
    const renewed = subscribed()
    const asked = page.waitForResponse('**/v1/push/key')
    await page.reload()
    await asked
    await untilInPage(page, 'belfry.push === "on"')
    await pushed({ title: 'again' })
    t.equal(subscribed(), renewed)
  })

  await t.test('without a tab, a push with the same collapseKey takes the place of the older one', async (t) => {
    const { page, worker, pushed } = await start('collapsing')
    await page.evaluate('belfry.disconnect()')
    await pushed({ title: '40 %', collapseKey: 'sync' })
    const other = await pushed({ title: 'other', collapseKey: 'other' })
    const newer = await pushed({ title: '80 %', collapseKey: 'sync' })
    t.same(await tags(worker()), [other, newer].toSorted())
  })

  await t.test('a browser that shows a push by itself gets no second notification, and no badge', async (t) => {
    const { worker, page } = await start('declarative')
    await page.evaluate('belfry.disconnect()')
    const payload = {
      web_push: 8030,
      notification: { title: 'Hi', tag: 'n1', navigate: '/' },
      app_badge: 3,
      belfry: { id: 'n1', eventId: '1' }
    }
    const dispatch = (notification: string) =>
      worker().evaluate(`(async () => {
        globalThis.badges = []
        navigator.setAppBadge = async (count) => void badges.push(count)
        const event = new PushEvent('push', { data: ${JSON.stringify(JSON.stringify(payload))} })
        const waits = []
        Object.defineProperties(event, { notification: { value: ${notification} }, waitUntil: { value: (promise) => waits.push(promise) } })
        dispatchEvent(event)
        await Promise.all(waits)
        return badges
      })()`)
    t.same(await dispatch('{}'), [])
    t.same(await tags(worker()), [])
    t.same(await worker().evaluate('seen'), [], 'the handlers of the app do not get it either')
    t.same(await dispatch('undefined'), [3])
    t.same(await tags(worker()), ['n1'])
  })

  await t.test('the number on the icon is that of the unread ones, from the worker and from the page', async (t) => {
    const user = 'badge'
    const { worker, page, pushed } = await start(user)
    const record = 'globalThis.badges = []; navigator.setAppBadge = async (count) => void badges.push(count)'
    await page.evaluate(record)
    await worker().evaluate(record)
    const ids = [await pushed(), await pushed()]
    t.same(await worker().evaluate('badges'), [1, 2])
    const last = () => page.evaluate('badges.at(-1)')
    await until(async () => (await last()) === 2, 'the page counts them')
    await call(service, 'POST', `/v1/users/${user}/notifications/mark`, { ids: ids.slice(0, 1), state: 'read' })
    await until(async () => (await last()) === 1, 'one is read')
    await page.evaluate('belfry.disablePush()')
    t.equal(await last(), 0, 'without push there is no number')
  })

  await t.test('a worker whose subscription the browser has ended subscribes again, and a tab gives it to the service', async (t) => {
    const user = 'changed'
    const { worker, page, subscribed } = await start(user)
    const before = subscribed()
    const renewed = push.subscribe()
    const json = JSON.stringify({ ...renewed.json, key: VAPID.publicKey })
    const change = (endpoint: string) =>
      worker().evaluate(`(async () => {
        globalThis.asked = []
        PushManager.prototype.subscribe = async (options) => void asked.push(options)
        const event = new ExtendableEvent('pushsubscriptionchange')
        const waits = []
        Object.assign(event, { oldSubscription: { endpoint: ${JSON.stringify(endpoint)} }, newSubscription: null })
        Object.defineProperty(event, 'waitUntil', { value: (promise) => waits.push(promise) })
        dispatchEvent(event)
        await Promise.all(waits)
        return asked
      })()`)
    t.same(await change('https://push.example/of-the-app'), [], 'a subscription of the app itself is left alone')
    await page.evaluate(`localStorage.setItem('test:subscription', ${JSON.stringify(json)})`)
    t.same(await change(before.json.endpoint), [{ userVisibleOnly: true, applicationServerKey: VAPID.publicKey }])
    const endpoints = async () => (await service.app.store.outbox.subscriptions(user)).map(({ endpoint }) => endpoint)
    await until(async () => (await endpoints()).join() === renewed.json.endpoint, 'the service has the new one')
    await publish(service, { to: user })
    await until(() => push.requests(renewed).length === 1, 'a push to the new one')
    t.equal(push.requests(before).length, 0)
  })

  await t.test('a worker that is subscribed to another service is not taken over', async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    await context.grantPermissions(['notifications'], { origin: host.url })
    await usePushService(context, push)
    const page = await context.newPage()
    await page.goto(`${host.url}/push.html?${new URLSearchParams({ user: 'taken', service: service.url })}`)
    await untilInPage(page, 'globalThis.belfry?.state === "connected"')
    const foreign = JSON.stringify({ ...push.subscribe().json, key: makeVapidKeys().publicKey })
    await page.evaluate(`localStorage.setItem('test:subscription', ${JSON.stringify(foreign)})`)
    await page.click('#enable')
    await untilInPage(page, 'globalThis.enabled !== undefined')
    t.match(await page.evaluate('enabled'), /push subscription of another service/)
    t.equal(await page.evaluate('localStorage.getItem("test:subscription")'), foreign)
    t.equal(await page.evaluate('belfry.push'), 'off')
  })

  await t.test('disablePush and forget end it, in every tab; another user does not see what was pushed to the first', async (t) => {
    const user = 'ending'
    const { context, page, open, subscribed, pushed, worker } = await start(user)
    const second = await open()
    await untilInPage(second, 'belfry.push === "on"')
    await page.evaluate('belfry.disablePush()')
    await untilInPage(second, 'belfry.push === "off"')
    await publish(service, { to: user, title: 'nobody' })
    await quiet()
    t.equal(push.requests(subscribed()).length, 0)

    await page.click('#enable')
    await untilInPage(second, 'belfry.push === "on"')
    await pushed({ title: 'for the first user' })
    await page.evaluate('belfry.forget()')
    await untilInPage(second, 'belfry.push === "off"')
    await until(async () => (await tags(worker())).length === 0, 'closed')
    t.equal(await page.evaluate('localStorage.getItem("test:subscription")'), null)
    await page.reload()
    await untilInPage(page, 'globalThis.belfry?.state === "connected"')
    await page.click('#enable')
    await untilInPage(page, 'belfry.push === "on"')
    await pushed({ title: 'for the first user' })
    for (const one of [page, second]) await one.close()
    const other = await open('/push.html', 'somebody-else')
    await until(async () => (await tags(worker())).length === 0, 'closed for another user')
    t.equal(await other.evaluate('localStorage.getItem("test:subscription")'), null)
    t.equal(await other.evaluate('belfry.push'), 'off')
    t.equal(context.pages().length, 1)
  })

  await t.test('without the permission push is denied, and the browser is not subscribed', async (t) => {
    const context = await browser.newContext()
    t.teardown(() => context.close())
    const page = await context.newPage()
    await page.goto(`${host.url}/push.html?${new URLSearchParams({ user: 'denied', service: service.url })}`)
    await untilInPage(page, 'globalThis.belfry?.state === "connected"')
    await page.click('#enable')
    await untilInPage(page, 'globalThis.enabled !== undefined')
    t.equal(await page.evaluate('enabled'), await page.evaluate('Notification.permission === "denied" ? "denied" : "off"'))
  })
})
