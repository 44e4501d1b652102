/** A WebSocket of a test: what it says, what it hears, in order. */
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import type { LiveServerMessage } from '../../src/api/live-messages.ts'
import type { ApiWorld } from './world.ts'

interface Closed {
  readonly code: number
  readonly reason: string
}

export interface LiveClient {
  readonly socket: WebSocket
  /** What was heard and not asked for yet. */
  readonly heard: LiveServerMessage[]
  readonly closed: Promise<Closed>
  say(message: unknown): void
  /** Takes messages until one of this type; those before it are given up. */
  next<Type extends LiveServerMessage['type']>(
    type: Type,
  ): Promise<Extract<LiveServerMessage, { type: Type }>>
}

export interface LiveOptions {
  /** `null`: none; by default one that may read. */
  readonly key?: string | null
  readonly headers?: Readonly<Record<string, string>>
  readonly path?: string
}

export async function connect(world: ApiWorld, options: LiveOptions = {}): Promise<LiveClient> {
  const key = options.key === undefined ? await world.key('viewer') : options.key
  const socket = new WebSocket(`${world.api.url().replace('http', 'ws')}${options.path ?? '/api/v1/live'}`, {
    headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...options.headers },
  })
  onTestFinished(() => socket.terminate())
  const heard: LiveServerMessage[] = []
  let wake: () => void = () => {}
  socket.on('message', (data) => {
    heard.push(JSON.parse(data.toString()))
    wake()
  })
  const closed = new Promise<Closed>((resolve) => {
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
    socket.once('unexpected-response', (_request, response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => reject(new Error(text)))
    })
  })
  return {
    socket,
    heard,
    closed,
    say: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    async next(type) {
      for (;;) {
        for (let message = heard.shift(); message !== undefined; message = heard.shift())
          if (message.type === type) return message as never
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
  }
}

/** Connected and welcome. */
export async function live(world: ApiWorld, options: LiveOptions = {}): Promise<LiveClient> {
  const client = await connect(world, options)
  await client.next('ready')
  return client
}
