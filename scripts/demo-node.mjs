// Starts one node of `npm run demo:cluster`: node scripts/demo-node.mjs <dist|build>. The environment is that of the service, with JWT_SECRET.
// The service signs tokens only with a secret that it generated itself, and generates none with a Redis: here the script stands in for it.
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import Fastify from 'fastify'

const load = (file) => import(pathToFileURL(join(resolve(process.argv[2]), file)).href)
const [{ default: app }, { readConfig }, { serverOptions }] = await Promise.all(['app.js', 'config.js', 'server-options.js'].map(load))

const config = readConfig()
const node = Fastify(serverOptions(config))
await node.register(app, { config: { ...config, JWT_SECRET: '' }, generatedSecret: config.JWT_SECRET })
await node.listen({ host: config.HOST, port: config.PORT })
