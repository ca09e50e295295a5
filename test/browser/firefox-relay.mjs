#!/usr/bin/env node
// Starts Firefox for playwright-core, which speaks WebDriver BiDi to it (https://www.w3.org/TR/webdriver-bidi/), and relays the messages. playwright-core sets
// media features for each context by a command that Firefox ESR does not know: the relay answers it, and the features are those of the profile.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import WebSocket, { WebSocketServer } from 'ws'

const UNKNOWN = 'emulation.setMediaFeaturesOverride'
const LISTENING = /^WebDriver BiDi listening on (.*)$/

const browser = spawn('firefox-esr', process.argv.slice(2), { stdio: ['ignore', 'inherit', 'pipe'] })
browser.on('error', ({ message }) => {
  console.error(message)
  process.exit(1)
})
browser.on('exit', (code) => process.exit(code ?? 1))
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => browser.kill(signal))

function relay(driver, url) {
  const firefox = new WebSocket(url)
  const isOpen = new Promise((resolve) => firefox.on('open', resolve))
  driver.on('message', async (data) => {
    const { id, method } = JSON.parse(data)
    if (method === UNKNOWN) return driver.send(JSON.stringify({ type: 'success', id, result: {} }))
    await isOpen
    firefox.send(String(data))
  })
  firefox.on('message', (data) => driver.send(String(data)))
  firefox.on('close', () => driver.close())
  driver.on('close', () => firefox.close())
}

createInterface({ input: browser.stderr }).on('line', (line) => {
  const url = LISTENING.exec(line)?.[1]
  if (url === undefined) return console.error(line)
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  server.on('connection', (driver) => relay(driver, `${url}/session`))
  server.on('listening', () => console.error(`WebDriver BiDi listening on ws://127.0.0.1:${server.address().port}`))
})
