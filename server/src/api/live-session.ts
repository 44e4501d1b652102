/**
 * One WebSocket: who is behind it, what it follows, and the conversation with it.
 *
 * Owns: the subscriptions of the connection and their bound. A message that cannot be understood is answered with what
 * is wrong with it, and the connection stays; it is cut when nobody proves who they are within 10 s, when the key stops
 * being good, when the peer is silent, and when the server stops. Messages are handled one after the other, and none is
 * read while the peer is behind: what it makes this process hold is bounded.
 */
import type { Duplex } from 'node:stream'
import { isObject, nearestName } from '@weft/engine'
import type { RawData, WebSocket } from 'ws'
import type { Clock } from '../clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import { type Keys, requireRole } from './auth.ts'
import type { Principal } from './call.ts'
import { ApiError, summarise } from './errors.ts'
import { type Followed, followRun, followWorkspace, type WorkspaceNews } from './follow.ts'
import {
  CLIENT_MESSAGES,
  type LiveClientMessage,
  type LiveServerMessage,
  MAX_SUBSCRIPTIONS,
} from './live-messages.ts'
import { attemptText, eventText, hintText } from './live-text.ts'
import { Outlet } from './outlet.ts'
import type { RunReader } from './reader.ts'
import { problemsOfValue } from './request.ts'
import { storeFailure } from './store-failure.ts'
import type { Watch } from './watch.ts'

const AUTHENTICATE_WITHIN_MS = 10_000
const PING_EVERY_MS = 15_000
const LOOK_UPS_AT_ONCE = 16
/** How long the peer may take to say goodbye too. */
const CLOSE_WITHIN_MS = 1_000

const CLOSE = { serverStops: 1001, tooLarge: 1009, unauthorized: 4401, forbidden: 4403 } as const

/** With which codes a connection is closed, and why. */
export const CLOSE_CODES: readonly (readonly [number, string])[] = [
  [CLOSE.serverStops, 'the server stops: connect again'],
  [CLOSE.tooLarge, 'a message was too large'],
  [CLOSE.unauthorized, 'no key, one that is not known, or one that is no longer good'],
  [CLOSE.forbidden, 'the key may not read'],
]

export interface SessionParts {
  readonly store: Store
  readonly watch: Watch
  readonly clock: Clock
  readonly log: Log
  readonly keys: Keys
  readonly reader: RunReader
  /** Fires when the server stops. */
  readonly stopping: AbortSignal
}

type Subscribe = Extract<LiveClientMessage, { type: 'subscribe' }>
type Unsubscribe = Extract<LiveClientMessage, { type: 'unsubscribe' }>

export class LiveSession {
  readonly #parts: SessionParts
  readonly #socket: WebSocket
  readonly #stream: Duplex
  readonly #outlet: Outlet
  readonly #over = new AbortController()
  readonly #runs = new Map<string, AbortController>()
  #workspace: AbortController | null = null
  #authorization: string | undefined
  #principal: Principal | null = null
  readonly #unhandled: string[] = []
  #isHandling = false
  #wasHeard = true
  #isCorked = false
  #withdrawTimer: () => void = () => {}

  constructor(parts: SessionParts, connection: { readonly socket: WebSocket; readonly stream: Duplex }) {
    this.#parts = parts
    this.#socket = connection.socket
    this.#stream = connection.stream
    this.#outlet = new Outlet(connection.stream, parts.clock)
  }

  /** `principal`: who the request’s own header said it is; `null`: the first message must say it. */
  start(authorization: string | undefined, principal: Principal | null): void {
    const socket = this.#socket
    socket.on('message', (data, isBinary) => this.#receive(data, isBinary))
    socket.on('pong', () => {
      this.#wasHeard = true
    })
    // What is wrong with a frame, and whatever breaks a connection: `close` follows.
    socket.on('error', () => {})
    socket.on('close', () => this.#end())
    const stop = (): void => this.#close(CLOSE.serverStops, 'the server stops: connect again')
    const { stopping } = this.#parts
    stopping.addEventListener('abort', stop)
    this.#over.signal.addEventListener('abort', () => stopping.removeEventListener('abort', stop))
    if (stopping.aborted) stop()
    else if (principal) this.#welcome(authorization as string, principal)
    else {
      this.#withdrawTimer = this.#parts.clock.after(AUTHENTICATE_WITHIN_MS, () =>
        this.#refuse(
          ApiError.of(
            'unauthorized',
            `No API key came within ${AUTHENTICATE_WITHIN_MS / 1000} s. Connect again and send {"type":"auth","token":"<key>"} first, or the header \`Authorization: Bearer <key>\`.`,
          ),
        ),
      )
    }
  }

  #welcome(authorization: string, principal: Principal, ref?: string): void {
    this.#withdrawTimer()
    this.#authorization = authorization
    this.#principal = principal
    this.#send({ type: 'ready', workspace: principal.workspace, ...referenceOf({ ref }) })
    this.#beatLater()
  }

  #receive(data: RawData, isBinary: boolean): void {
    this.#wasHeard = true
    this.#unhandled.push(isBinary ? '' : data.toString())
    if (!this.#isHandling) void this.#handleAll()
  }

  async #handleAll(): Promise<void> {
    this.#isHandling = true
    this.#socket.pause()
    for (let text = this.#unhandled.shift(); text !== undefined; text = this.#unhandled.shift()) {
      if (this.#over.signal.aborted) break
      let message: LiveClientMessage | null = null
      try {
        message = readMessage(text)
        await this.#handle(message)
      } catch (error) {
        this.#sendError(error, referenceOf(message ?? readLoosely(text)))
      }
      await this.#outlet.caughtUp(this.#over.signal)
    }
    this.#isHandling = false
    this.#socket.resume()
  }

  async #handle(message: LiveClientMessage): Promise<void> {
    if (message.type === 'ping') return this.#send({ type: 'pong', ...referenceOf(message) })
    if (message.type === 'auth') return this.#authenticate(message.token, message.ref)
    const principal = this.#principal
    if (!principal)
      throw ApiError.of(
        'unauthorized',
        'This connection has not said who it is. Send {"type":"auth","token":"<key>"} first.',
      )
    if (message.type === 'subscribe') await this.#subscribe(principal, message)
    else this.#unsubscribe(message)
  }

  async #authenticate(token: string, ref: string | undefined): Promise<void> {
    if (this.#principal)
      throw ApiError.of(
        'invalid_request',
        'This connection is authenticated already. Open another one for another key.',
      )
    const authorization = `Bearer ${token}`
    try {
      const principal = await this.#admit(authorization)
      if (!this.#over.signal.aborted) this.#welcome(authorization, principal, ref)
    } catch (error) {
      // A database that does not answer says nothing about the key: the message may be sent again.
      if (!(error instanceof ApiError)) throw error
      this.#refuse(error, ref)
    }
  }

  async #admit(authorization: string): Promise<Principal> {
    const principal = await this.#parts.keys.principal(authorization)
    requireRole(principal, 'viewer', 'GET /live')
    return principal
  }

  async #subscribe(principal: Principal, { runs, workspace, ref }: Subscribe): Promise<void> {
    const added = new Set(runs.map(({ id }) => id).filter((id) => !this.#runs.has(id)))
    if (this.#runs.size + added.size > MAX_SUBSCRIPTIONS)
      throw ApiError.of(
        'too_many_subscriptions',
        `This connection follows ${this.#runs.size} runs and may follow ${MAX_SUBSCRIPTIONS}; ${added.size} more are too many, and none was added. Unsubscribe from some, open another connection, or follow the workspace.`,
      )
    if (runs.length === 0 && !workspace)
      throw ApiError.of(
        'invalid_request',
        'The message names nothing to follow: name `runs`, or `"workspace": true`.',
      )
    if (workspace) this.#followWorkspace(principal.workspace, ref)
    for (let from = 0; from < runs.length; from += LOOK_UPS_AT_ONCE) {
      await Promise.all(
        runs.slice(from, from + LOOK_UPS_AT_ONCE).map(async ({ id, fromSeq }) => {
          try {
            const { seq } = await this.#parts.reader.row(principal.workspace, id)
            if (fromSeq > seq + 1)
              throw ApiError.of(
                'invalid_request',
                `Run ${id} has ${seq} events, and \`fromSeq\` says ${fromSeq}. The next one is ${seq + 1}.`,
              )
            if (this.#over.signal.aborted) return
            this.#send({ type: 'subscribed', runId: id, fromSeq, ...referenceOf({ ref }) })
            this.#followRun(principal.workspace, id, fromSeq)
          } catch (error) {
            this.#sendError(error, { runId: id, ...referenceOf({ ref }) })
          }
        }),
      )
    }
  }

  #unsubscribe({ runs, workspace, ref }: Unsubscribe): void {
    for (const id of runs) {
      this.#runs.get(id)?.abort()
      this.#runs.delete(id)
      this.#send({ type: 'unsubscribed', runId: id, ...referenceOf({ ref }) })
    }
    if (!workspace) return
    this.#workspace?.abort()
    this.#workspace = null
    this.#send({ type: 'unsubscribed', workspace: true, ...referenceOf({ ref }) })
  }

  #followRun(workspace: string, runId: string, fromSeq: number): void {
    this.#runs.get(runId)?.abort()
    const controller = new AbortController()
    this.#runs.set(runId, controller)
    const { signal } = controller
    let seq = fromSeq - 1
    const items = followRun(this.#parts, { workspace, runId, afterSeq: seq, pace: this.#outlet, signal })
    const id = JSON.stringify(runId)
    const write = (item: Followed): void => {
      if (item.kind === 'event') {
        seq = item.seq
        this.#write(`{"type":"event","runId":${id},"event":${eventText(item)}}`)
      } else if (item.kind === 'attempt')
        this.#write(`{"type":"attempt",${attemptText(item.message).slice(1)}`)
      else if (item.kind === 'missed') this.#send({ type: 'missed', runId, fromSeq: item.fromSeq })
    }
    this.#outlet
      .pour(items, write, signal)
      .then(
        () => {
          if (!signal.aborted) this.#send({ type: 'ended', runId, seq })
        },
        (error: unknown) => {
          if (!signal.aborted) this.#sendError(error, { runId })
        },
      )
      .finally(() => {
        if (this.#runs.get(runId) === controller) this.#runs.delete(runId)
      })
  }

  #followWorkspace(workspace: string, ref: string | undefined): void {
    this.#send({ type: 'subscribed', workspace: true, ...referenceOf({ ref }) })
    if (this.#workspace) return
    const controller = new AbortController()
    this.#workspace = controller
    const { signal } = controller
    const items = followWorkspace(this.#parts, { workspace, pace: this.#outlet, signal })
    const write = (item: WorkspaceNews): void => {
      if (item.kind === 'hint') this.#write(`{"type":"hint",${hintText(item).slice(1)}`)
      else if (item.kind === 'missed') this.#send({ type: 'missed', workspace: true })
    }
    this.#outlet.pour(items, write, signal).catch((error: unknown) => this.#sendError(error, {}))
  }

  #beatLater(): void {
    this.#withdrawTimer = this.#parts.clock.after(PING_EVERY_MS, () => void this.#beat())
  }

  /** The peer must have been heard since the last ping, unless it cannot be: nothing is read while it is behind. */
  async #beat(): Promise<void> {
    if (!this.#wasHeard && !this.#isHandling && !this.#outlet.isBehind) {
      this.#socket.terminate()
      return
    }
    this.#wasHeard = false
    this.#socket.ping()
    this.#beatLater()
    try {
      await this.#admit(this.#authorization as string)
    } catch (error) {
      if (error instanceof ApiError) this.#refuse(error)
    }
  }

  #refuse(error: ApiError, ref?: string): void {
    this.#sendError(error, referenceOf({ ref }))
    const isForbidden = error.code === 'forbidden'
    this.#close(
      isForbidden ? CLOSE.forbidden : CLOSE.unauthorized,
      isForbidden ? 'forbidden' : 'unauthorized',
    )
  }

  #sendError(error: unknown, about: { readonly runId?: string; readonly ref?: string }): void {
    const known = storeFailure(error).error
    if (!(known instanceof ApiError)) this.#parts.log.error({ error, ...about }, 'a live connection failed')
    const { code, message } =
      known instanceof ApiError
        ? known
        : ApiError.of('internal', 'Something went wrong inside Weft; the server’s log has the details.')
    this.#send({ type: 'error', code, message, ...about })
  }

  #send(message: LiveServerMessage): void {
    this.#write(JSON.stringify(message))
  }

  /** What is written before the process turns to something else leaves in one call of the kernel, as HTTP's does. */
  #write(text: string): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#stream.cork()
      process.nextTick(() => {
        this.#isCorked = false
        this.#stream.uncork()
      })
    }
    this.#socket.send(text)
  }

  #close(code: number, reason: string): void {
    this.#end()
    this.#socket.resume()
    this.#socket.close(code, reason)
    this.#parts.clock.after(CLOSE_WITHIN_MS, () => this.#socket.terminate())
  }

  #end(): void {
    this.#over.abort()
    this.#withdrawTimer()
    this.#workspace?.abort()
    for (const controller of this.#runs.values()) controller.abort()
    this.#runs.clear()
  }
}

const referenceOf = ({ ref }: { readonly ref?: string | undefined }): { ref?: string } =>
  ref === undefined ? {} : { ref }

/** What is left of a message that is wrong: its reference, so that the sender knows which one is meant. */
function readLoosely(text: string): { ref?: string } {
  try {
    const message: unknown = JSON.parse(text)
    return isObject(message) && typeof message.ref === 'string' ? { ref: message.ref.slice(0, 100) } : {}
  } catch {
    return {}
  }
}

const TYPES = Object.keys(CLIENT_MESSAGES)

function readMessage(text: string): LiveClientMessage {
  const message = parse(text)
  const type = isObject(message) ? message.type : undefined
  const schema =
    typeof type === 'string' && Object.hasOwn(CLIENT_MESSAGES, type) ? CLIENT_MESSAGES[type] : null
  if (!schema) {
    const nearest = typeof type === 'string' ? nearestName(type, TYPES) : undefined
    throw ApiError.of(
      'invalid_request',
      `${type === undefined ? 'The message has no `type`' : `There is no message of the type ${JSON.stringify(type).slice(0, 100)}`}. ${nearest ? `Did you mean \`${nearest}\`? ` : ''}Send a JSON object with one of: ${TYPES.join(', ')}.`,
    )
  }
  const result = schema.safeParse(message)
  if (result.success) return result.data
  throw ApiError.of(
    'invalid_request',
    `${summarise(problemsOfValue(schema, result.error), 'The message')} Nothing was done.`,
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw ApiError.of(
      'malformed_json',
      `The message is not a JSON text: ${(error as Error).message}. Send messages such as {"type":"subscribe","runs":[{"id":"<run>"}]}.`,
    )
  }
}
