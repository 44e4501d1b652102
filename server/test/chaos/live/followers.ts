/**
 * Clients of the live streams, as people write them: they connect again after every cut, and say which event they want
 * next. What they put together is theirs alone; nothing here looks into the log.
 */
import { get } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { WebSocket } from 'ws'

export interface SeenEvent {
  readonly seq: number
  readonly [name: string]: unknown
}

export interface Follower {
  readonly name: string
  /** By run, in the order in which they came. */
  readonly seen: ReadonlyMap<string, readonly SeenEvent[]>
  readonly reconnects: number
  /** Resolves when the run has told its end, or at once: `finished` says it in any case. */
  follow(runId: string): Promise<void> | void
  /** Resolves when every run that is followed has told its end; throws what is no cut. */
  finished(): Promise<void>
}

export interface Where {
  readonly port: number
  readonly apiKey: string
}

/** What a follower writes down: the event once; for the trial's own check, something else. */
export type Pen = (seen: SeenEvent[], event: SeenEvent) => void
export const honest: Pen = (seen, event) => void seen.push(event)

const CONNECT_AGAIN_MS = 30
/** Between the end of a process and the readiness of the next one there is nobody, or somebody without a database. */
const AWAY = new Set([502, 503])

/** Server-sent events: a connection per run. */
export class StreamFollower implements Follower {
  readonly seen = new Map<string, SeenEvent[]>()
  readonly name: string
  readonly #where: Where
  readonly #pen: Pen
  readonly #following: Promise<void>[] = []
  reconnects = 0

  constructor(name: string, where: Where, pen: Pen = honest) {
    this.name = name
    this.#where = where
    this.#pen = pen
  }

  follow(runId: string): Promise<void> {
    const following = this.#follow(runId)
    following.catch(() => {})
    this.#following.push(following)
    return following
  }

  async finished(): Promise<void> {
    await Promise.all(this.#following)
  }

  async #follow(runId: string): Promise<void> {
    const seen: SeenEvent[] = []
    this.seen.set(runId, seen)
    for (let lastSeq = 0; ; this.reconnects++) {
      const isOver = await this.#read(runId, lastSeq, (event) => {
        lastSeq = event.seq
        this.#pen(seen, event)
      })
      if (isOver) return
      await pause(CONNECT_AGAIN_MS)
    }
  }

  /** True when the server says that there is no more; false when the connection broke or ended. */
  #read(runId: string, lastSeq: number, onEvent: (event: SeenEvent) => void): Promise<boolean> {
    const { port, apiKey } = this.#where
    const headers = {
      authorization: `Bearer ${apiKey}`,
      accept: 'text/event-stream',
      ...(lastSeq > 0 && { 'last-event-id': String(lastSeq) }),
    }
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port, path: `/api/v1/runs/${runId}/events`, headers, agent: false }
      const request = get(options, (response) => {
        const status = response.statusCode ?? 0
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
          if (status !== 200) return
          const blocks = text.split('\n\n')
          text = blocks.pop() as string
          for (const block of blocks) {
            if (!block.startsWith('id: ')) continue
            onEvent(JSON.parse(block.slice(block.indexOf('\ndata: ') + '\ndata: '.length)))
          }
        })
        response.on('error', () => resolve(false))
        response.on('close', () => {
          if (status === 204) resolve(true)
          else if (status === 200 || AWAY.has(status) || !response.complete) resolve(false)
          else reject(new Error(`${this.name}: the stream of ${runId} was answered ${status}: ${text}`))
        })
      })
      request.on('error', () => resolve(false))
    })
  }
}

/** One WebSocket for all runs. */
export class SocketFollower implements Follower {
  readonly seen = new Map<string, SeenEvent[]>()
  readonly name: string
  readonly #where: Where
  readonly #pen: Pen
  /** Says who it is in the first message, as a browser does. */
  readonly #isBrowser: boolean
  /** Number of the last event, by run that has not ended. */
  readonly #open = new Map<string, number>()
  #socket: WebSocket | null = null
  #isReady = false
  #isDone = false
  #failure: Error | null = null
  /** Looks whether everything has ended. */
  #check: () => void = () => {}
  reconnects = 0

  constructor(name: string, where: Where, isBrowser: boolean, pen: Pen = honest) {
    this.name = name
    this.#where = where
    this.#isBrowser = isBrowser
    this.#pen = pen
    this.#connect()
  }

  follow(runId: string): void {
    this.seen.set(runId, [])
    this.#open.set(runId, 0)
    if (this.#isReady) this.#subscribe([runId])
  }

  finished(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#check = () => {
        if (this.#failure) reject(this.#failure)
        else if (this.#open.size === 0) resolve()
        else return
        this.#isDone = true
        this.#socket?.terminate()
      }
      this.#check()
    })
  }

  #connect(): void {
    const { port, apiKey } = this.#where
    const socket = new WebSocket(`ws://127.0.0.1:${port}/api/v1/live`, {
      headers: this.#isBrowser ? {} : { authorization: `Bearer ${apiKey}` },
    })
    this.#socket = socket
    this.#isReady = false
    socket.on('open', () => {
      if (this.#isBrowser) socket.send(JSON.stringify({ type: 'auth', token: apiKey }))
    })
    socket.on('message', (data) => this.#read(data.toString()))
    // Cut, or nobody there.
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isReady = false
      if (this.#isDone) return
      this.reconnects++
      setTimeout(() => this.#connect(), CONNECT_AGAIN_MS).unref()
    })
  }

  #subscribe(ids: Iterable<string>): void {
    const runs = [...ids].map((id) => ({ id, fromSeq: (this.#open.get(id) ?? 0) + 1 }))
    if (runs.length > 0) this.#socket?.send(JSON.stringify({ type: 'subscribe', runs }))
  }

  #read(text: string): void {
    const message = JSON.parse(text)
    switch (message.type) {
      case 'ready':
        this.#isReady = true
        this.#subscribe(this.#open.keys())
        break
      case 'event':
        this.#open.set(message.runId, message.event.seq)
        this.#pen(this.seen.get(message.runId) as SeenEvent[], message.event)
        break
      case 'ended':
        this.#open.delete(message.runId)
        this.#check()
        break
      case 'error':
        // The database is away for a moment: asked again.
        if (message.code === 'store_unavailable') this.#socket?.terminate()
        else this.#failure = new Error(`${this.name}: ${text}`)
        this.#check()
    }
  }
}
