import { createECDH, randomBytes } from 'node:crypto'
import t from 'tap'
import type { Notification } from '../../../services/protocol/index.ts'
import { HttpSender } from '../../../services/reach/http-sender.ts'
import { isPushOrigin, PushEndpoints } from '../../../services/reach/push-endpoint.ts'
import { pushPayload } from '../../../services/reach/push-payload.ts'
import { pushRequest, VapidSignatures } from '../../../services/reach/push-request.ts'
import { checkSubscription } from '../../../services/reach/push-subscription.ts'
import { areVapidKeys, isVapidSubject, makeVapidKeys } from '../../../services/reach/vapid.ts'
import { PushService } from '../../fixtures/push-service.ts'

const NOW = 1_754_000_000_000
const NOTIFICATION = { id: 'qk3mTnHc0Vd5Yx1LbR2w', type: 'sync.done', title: 'Sync finished', timestamp: NOW }
const CONTEXT = { eventId: 'k3f9q2.41.a81c22e0', unread: 3, answerLink: undefined }
const FCM = 'https://fcm.googleapis.com/fcm/send/abc:def'

t.test('endpoints of known push services and of PUSH_ENDPOINTS are accepted, in their normal form', async (t) => {
  const endpoints = new PushEndpoints(['https://push.example:8443', 'http://localhost:9000'])
  const accepted = [
    FCM,
    'https://fcm.googleapis.com/wp/abc',
    'https://updates.push.services.mozilla.com/wpush/v2/gAAA',
    'https://web.push.apple.com/QGx',
    'https://wns2-par02p.notify.windows.com/w/?token=BQ%3d%3d',
    'https://push.example:8443/x',
    'http://localhost:9000/push/1'
  ]
  for (const endpoint of accepted) t.equal(endpoints.accept(endpoint)?.url, endpoint)
  t.same(endpoints.accept('HTTPS://FCM.googleapis.com:443/a/../b'), { url: 'https://fcm.googleapis.com/b', lane: 'fcm' })
  t.same([...new Set(accepted.map((endpoint) => endpoints.accept(endpoint)?.lane))], endpoints.lanes, 'each push service has its lane')
})

t.test('any other endpoint is refused', async (t) => {
  const endpoints = new PushEndpoints(['https://push.example:8443'])
  const refused = [
    '',
    'nonsense',
    '//fcm.googleapis.com/a',
    'http://fcm.googleapis.com/a',
    'ftp://fcm.googleapis.com/a',
    'javascript:alert(1)',
    'file:///etc/passwd',
    'data:text/plain,x',
    'https://fcm.googleapis.com:8443/a',
    'https://fcm.googleapis.com:80/a',
    'https://user@fcm.googleapis.com/a',
    'https://user:pw@fcm.googleapis.com/a',
    'https://:pw@fcm.googleapis.com/a',
    'https://fcm.googleapis.com@evil.example/a',
    'https://fcm.googleapis.com%40evil.example/a',
    'https://fcm.googleapis.com\\@evil.example/a',
    'https://fcm.googleapis.com\t/a',
    ' https://fcm.googleapis.com/a',
    'https://fcm.googleapis.com\n.evil.example/a',
    'https://evil.example/https://fcm.googleapis.com/a',
    'https://evil.example#.push.apple.com',
    'https://evil.example/?.push.apple.com',
    `${FCM}#fragment`,
    'https://fcm.googleapis.com./a',
    'https://fcm.googleapis.com.evil.example/a',
    'https://evilfcm.googleapis.com/a',
    'https://storage.googleapis.com/a',
    'https://push.apple.com/a',
    'https://evil-push.apple.com/a',
    'https://xpush.services.mozilla.com/a',
    'https://notify.windows.com/a',
    'https://notify.windows.com.evil.example/a',
    'https://push.example/a',
    'http://push.example:8443/a',
    'https://127.0.0.1/a',
    'http://localhost/a',
    'https://[::1]/a',
    'https://2130706433/a',
    'https://0x7f.1/a',
    'http://169.254.169.254/latest/meta-data/',
    'https://[::ffff:169.254.169.254]/a',
    `https://fcm.googleapis.com/${'a'.repeat(2048)}`,
    `https://fcm.googleapis.com/${'ü'.repeat(1000)}`
  ]
  for (const endpoint of refused) t.equal(endpoints.accept(endpoint), undefined, endpoint.slice(0, 80))
})

t.test('PUSH_ENDPOINTS are origins: https, or http on loopback', async (t) => {
  for (const origin of [
    'https://push.example',
    'https://push.example:8443',
    'http://localhost:9000',
    'http://127.0.0.1:1',
    'http://[::1]:9000'
  ])
    t.ok(isPushOrigin(origin), origin)
  for (const origin of [
    'http://push.example',
    'http://10.0.0.1',
    'http://127.0.0.1.evil.example',
    'http://localhost.evil.example',
    'https://push.example/path',
    'https://user@push.example',
    'push.example',
    'ws://localhost',
    '*'
  ])
    t.notOk(isPushOrigin(origin), origin)
})

t.test('the keys of a subscription are a point on P-256 and 16 bytes', async (t) => {
  const endpoints = new PushEndpoints([])
  const p256dh = createECDH('prime256v1').generateKeys('base64url')
  const auth = randomBytes(16).toString('base64url')
  const check = (keys: { p256dh: string; auth: string }, expirationTime: number | null = null) =>
    checkSubscription({ endpoint: FCM, expirationTime, keys }, endpoints, NOW)
  t.same(check({ p256dh, auth }), { endpoint: FCM, lane: 'fcm', p256dh, auth, expirationTime: 0 })
  t.match(check({ p256dh, auth }, NOW + 1.5), { expirationTime: NOW + 1 })
  t.throws(() => check({ p256dh, auth }, NOW), { code: 'BELFRY_ERR_INVALID_REQUEST' })

  const point = Buffer.from(p256dh, 'base64url')
  const offCurve = Buffer.from(point)
  offCurve[64] = (offCurve[64] as number) ^ 1
  const points = {
    'not on the curve': offCurve.toString('base64url'),
    zero: Buffer.concat([Buffer.of(4), Buffer.alloc(64)]).toString('base64url'),
    infinity: Buffer.of(0).toString('base64url'),
    'beyond the field': Buffer.concat([Buffer.of(4), Buffer.alloc(64, 0xff)]).toString('base64url'),
    compressed: Buffer.concat([Buffer.of(2), point.subarray(1, 33)]).toString('base64url'),
    'of another curve': createECDH('secp521r1').generateKeys('base64url'),
    'of secp256k1': createECDH('secp256k1').generateKeys('base64url'),
    'another first byte': Buffer.concat([Buffer.of(6), point.subarray(1)]).toString('base64url'),
    short: p256dh.slice(0, -1),
    long: `${p256dh}A`,
    padded: `${p256dh}=`,
    'with a line break': `${p256dh.slice(0, 20)}\n${p256dh.slice(20)}`,
    base64: point.toString('base64'),
    empty: ''
  }
  for (const [name, bad] of Object.entries(points)) t.throws(() => check({ p256dh: bad, auth }), { message: /p256dh/ }, name)
  for (const bad of [
    '',
    randomBytes(15).toString('base64url'),
    randomBytes(17).toString('base64url'),
    `${auth}==`,
    `${auth.slice(0, 10)} ${auth.slice(10)}`
  ])
    t.throws(() => check({ p256dh, auth: bad }), { message: /keys.auth/ }, bad)
})

t.test('VAPID keys', async (t) => {
  for (let round = 0; round < 300; round++) {
    const keys = makeVapidKeys()
    if (!areVapidKeys(keys)) t.fail('a pair that was made is none', { keys })
  }
  const [one, other] = [makeVapidKeys(), makeVapidKeys()]
  t.notOk(areVapidKeys({ ...one, privateKey: other.privateKey }))
  t.notOk(areVapidKeys({ ...one, privateKey: 'AAAA' }))
  t.notOk(areVapidKeys({ ...one, privateKey: Buffer.alloc(32).toString('base64url') }))
  t.notOk(areVapidKeys({ ...one, publicKey: `${one.publicKey}=` }))
  for (const subject of ['mailto:ops@example.com', 'https://example.com/contact']) t.ok(isVapidSubject(subject), subject)
  for (const subject of ['', 'mailto:', 'ops@example.com', 'http://example.com', 'https://']) t.notOk(isVapidSubject(subject), subject)
})

t.test('the payload is Declarative Web Push, with what the SDK needs', async (t) => {
  t.same(JSON.parse(pushPayload(NOTIFICATION, CONTEXT)), {
    web_push: 8030,
    notification: { title: 'Sync finished', navigate: '/', tag: NOTIFICATION.id },
    app_badge: 3,
    belfry: { id: NOTIFICATION.id, eventId: CONTEXT.eventId }
  })
  const full = {
    ...NOTIFICATION,
    ref: '/syncs/77',
    urgency: 'low' as const,
    actions: [
      { action: 'approve', title: 'Approve' },
      { action: 'open', title: 'Open', url: 'https://example.com/x' }
    ],
    data: { body: 'All 12 files', files: 12 }
  }
  t.same(JSON.parse(pushPayload(full, { ...CONTEXT, answerLink: 'link' })), {
    web_push: 8030,
    notification: {
      title: 'Sync finished',
      body: 'All 12 files',
      navigate: '/syncs/77',
      tag: NOTIFICATION.id,
      silent: true,
      actions: [
        { action: 'approve', title: 'Approve', navigate: '/syncs/77' },
        { action: 'open', title: 'Open', navigate: 'https://example.com/x' }
      ]
    },
    app_badge: 3,
    belfry: { id: NOTIFICATION.id, eventId: CONTEXT.eventId, answerLink: 'link' }
  })
  const same = { ...full, collapseKey: 'sync-77', actions: [{ action: 'view', title: 'View', url: '/syncs/77' }] }
  const { belfry } = JSON.parse(pushPayload(same, CONTEXT))
  t.match(belfry, { opens: ['view'], topic: /^[\w-]{32}$/ }, 'an action whose url is that of the notification; the key, as a hash')
  for (const ref of ['javascript:alert(1)', '//evil.example', '/\\evil.example', 'sync-77', 'data:text/html,x', 'https://', ' /a', '/a b'])
    t.equal(JSON.parse(pushPayload({ ...NOTIFICATION, ref }, CONTEXT)).notification.navigate, '/', ref)
})

t.test('a payload that is too large loses its body first, and never its ids', async (t) => {
  const size = (text: string): number => Buffer.byteLength(text)
  const huge = {
    ...NOTIFICATION,
    title: '\u0001'.repeat(1024),
    ref: `/${'ü'.repeat(2047)}`,
    actions: ['a', 'b', 'c'].map((letter) => ({ action: letter.repeat(32), title: '\u0001'.repeat(64), url: `/${letter.repeat(2000)}` })),
    data: { body: '😀'.repeat(4000) }
  }
  const link = 'l'.repeat(800)
  const small = JSON.parse(pushPayload(huge, { ...CONTEXT, answerLink: link }))
  t.ok(size(JSON.stringify(small)) <= 3993)
  t.match(small, { notification: { tag: NOTIFICATION.id, navigate: '/' }, belfry: { id: NOTIFICATION.id, answerLink: link } })
  t.equal(small.notification.actions.length, 3)
  t.notOk('body' in small.notification)

  const text = pushPayload({ ...NOTIFICATION, ref: '/syncs/77', data: { body: '😀'.repeat(4000) } }, CONTEXT)
  t.ok(size(text) <= 3993 && size(text) > 3985, `${size(text)} bytes: as much of the body as fits`)
  const { body, navigate } = JSON.parse(text).notification
  t.match(body, /^(😀)+…$/u, 'cut between two characters')
  t.equal(navigate, '/syncs/77')

  const onlyUrls = { ...NOTIFICATION, title: 'T', ref: '/r', actions: huge.actions.map((action) => ({ ...action, title: 'x' })) }
  t.match(JSON.parse(pushPayload(onlyUrls, CONTEXT)).notification, { title: 'T', navigate: '/r', actions: [{ navigate: '/r' }, {}, {}] })
  const longTitle = { ...NOTIFICATION, title: 'x'.repeat(1024), ref: '/r' }
  t.match(JSON.parse(pushPayload(longTitle, CONTEXT)).notification, { title: longTitle.title, navigate: '/r' })
})

t.test('a browser can decrypt a push, and the push service verifies who sent it', async (t) => {
  const service = await PushService.start(t)
  const sender = new HttpSender({ connectionsPerHost: 4 })
  t.teardown(() => sender.close())
  const vapid = { ...makeVapidKeys(), subject: 'mailto:ops@example.com' }
  const browser = service.subscribe()
  const subscription = checkSubscription(browser.json, new PushEndpoints([service.origin]), NOW)
  const signatures = new VapidSignatures(vapid)
  const push = async (notification: Partial<Notification>, endsAt: number) => {
    const whole = { ...NOTIFICATION, ...notification }
    const request = pushRequest(subscription, whole, pushPayload(whole, CONTEXT), signatures, { endsAt, now: NOW })
    t.same(await sender.send(request), { status: 201, retryAfter: undefined })
  }
  await push({}, NOW + 90_500)
  await push({ urgency: 'high', collapseKey: 'sync-77', data: { body: 'x'.repeat(4096) } }, NOW + 1e12)
  await push({ collapseKey: 'sync-77' }, NOW - 1)

  const [plain, large, last] = await service.pushes(browser, vapid.publicKey)
  t.match(plain, { payload: { notification: { title: 'Sync finished' }, app_badge: 3 }, vapid: { sub: vapid.subject } })
  t.match(plain?.headers, { ttl: '90', urgency: 'normal', 'content-encoding': 'aes128gcm' })
  t.notOk('topic' in (plain?.headers ?? {}))
  t.match(large?.headers, { ttl: '2419200', urgency: 'high', topic: /^[\w-]{32}$/ })
  t.equal(large?.bytes, 4096, 'the largest body that push services must accept')
  t.equal(last?.headers.ttl, '0')
  t.equal(last?.headers.topic, large?.headers.topic)
  t.ok((plain?.vapid.exp ?? 0) <= Date.now() / 1000 + 24 * 3600)
})

t.test('a signature is used again for an hour, for its push service only', async (t) => {
  const signatures = new VapidSignatures({ ...makeVapidKeys(), subject: 'mailto:ops@example.com' })
  const [one, other] = ['https://one.push.apple.com/a', 'https://other.push.apple.com/a']
  const first = signatures.headerFor(one, NOW)
  t.equal(signatures.headerFor(`${one}b`, NOW + 3_599_999), first)
  t.not(signatures.headerFor(other, NOW), first)
  t.not(signatures.headerFor(one, NOW + 3_600_000), first)
  t.not(signatures.headerFor(one, NOW - 3_600_000), first, 'the clock was set back')
  for (let host = 0; host < 150; host++) signatures.headerFor(`https://${host}.push.apple.com/a`, NOW)
  t.equal(signatures.headerFor(other, NOW), signatures.headerFor(other, NOW))
})
