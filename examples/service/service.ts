/**
 * A small HTTP service for examples, the tour and the trials of the engine: the outside world, on this machine.
 *
 * Owns the listening socket, the routing and the ledger's two strokes per call. Listens on 127.0.0.1 only. What each
 * route does stands in the file of its noun.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline, Readable } from 'node:stream'
import { type Answer, type Call, type Caller, problem, type Route, route } from './call.ts'
import { githubRoutes } from './github.ts'
import { Ledger, ledgerRoutes } from './ledger.ts'
import { orderRoutes } from './orders.ts'
import { type SlackMessage, slackRoutes } from './slack.ts'
import { trialRoutes } from './trials.ts'

export interface ServiceOptions {
  /** 0, the default, takes a free one. */
  port?: number
  /** Each call becomes a line of JSON in this file, too. */
  ledgerFile?: string
  /** Drawn at each start unless given. */
  nonce?: string
}

export interface ExampleService {
  url: string
  port: number
  nonce: string
  ledger: Ledger
  slackMessages: readonly SlackMessage[]
  stop(): Promise<void>
}

const MAX_BODY_BYTES = 1_048_576

export async function startService(options: ServiceOptions = {}): Promise<ExampleService> {
  const nonce = options.nonce ?? randomBytes(6).toString('hex')
  const ledger = new Ledger(options.ledgerFile)
  const slackMessages: SlackMessage[] = []
  const answer = router([
    ...trialRoutes(),
    ...orderRoutes(nonce),
    ...slackRoutes(slackMessages),
    ...githubRoutes(),
    ...ledgerRoutes(ledger),
    route('GET', '/nonce', () => ({ body: { nonce } })),
  ])
  const server = createServer((request, response) => void serve(request, response, answer, ledger))
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    nonce,
    ledger,
    slackMessages,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
      await ledger.end()
    },
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  answer: (call: Call) => Answer | Promise<Answer>,
  ledger: Ledger,
): Promise<void> {
  const url = URL.parse(`http://service${request.url}`)
  if (url === null) return send(response, problem(400, 'the path is not valid'))
  const method = request.method ?? 'GET'
  const caller = callerOf(request)
  if (url.pathname !== '/ledger' && !url.pathname.startsWith('/ledger/')) {
    const entry = ledger.open(method, url.pathname, url.search, caller)
    response.on('close', () => ledger.close(entry, response.writableFinished ? response.statusCode : null))
  }
  try {
    const body = await bodyOf(request)
    if (body === undefined)
      return send(response, problem(413, `a body may have at most ${MAX_BODY_BYTES} bytes`))
    const call: Call = {
      method,
      path: url.pathname,
      query: url.searchParams,
      params: {},
      headers: request.headers,
      body,
      caller,
      onClose: (callback) => void response.on('close', callback),
    }
    send(response, await answer(call))
  } catch (error) {
    // A caller that hung up while it was read needs no answer.
    if (!response.headersSent && !response.destroyed) send(response, problem(500, (error as Error).message))
  }
}

const EMPTY = Buffer.alloc(0)

/** Undefined when it is too large; the rest is then not read. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  if (request.headers['content-length'] === undefined && request.headers['transfer-encoding'] === undefined)
    return EMPTY
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function callerOf({ headers }: IncomingMessage): Caller {
  const text = (name: string): string | null => {
    const value = headers[name]
    return typeof value === 'string' && value !== '' ? value : null
  }
  const number = (name: string): number | null => {
    const value = text(name)
    return value === null || !Number.isInteger(Number(value)) ? null : Number(value)
  }
  return {
    run: text('x-weft-run'),
    step: text('x-weft-step'),
    round: number('x-weft-round'),
    attempt: number('x-weft-attempt'),
    idempotencyKey: text('idempotency-key'),
  }
}

function send(response: ServerResponse, { status = 200, headers = {}, body }: Answer): void {
  if (body instanceof Readable) {
    response.writeHead(status, headers)
    pipeline(body, response, () => {})
    return
  }
  if (body === undefined || status === 204 || status === 304) {
    response.writeHead(status, headers).end()
    return
  }
  const plain = typeof body === 'string'
  const text = plain ? body : JSON.stringify(body)
  response.writeHead(status, {
    'content-type': plain ? 'text/plain; charset=utf-8' : 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

/** Finds the route of a call by its segments. Routes with fewer `:names` go first, so `/orders/summary` is no id. */
function router(routes: readonly Route[]): (call: Call) => Answer | Promise<Answer> {
  const table = new Map<string, { segments: string[]; answer: Route['answer'] }[]>()
  const keyOf = (method: string, segments: readonly string[]): string =>
    `${method} ${segments[0]} ${segments.length}`
  const wildcards = (path: string): number => path.split(':').length
  for (const { method, path, answer } of routes.toSorted((a, b) => wildcards(a.path) - wildcards(b.path))) {
    const segments = path.slice(1).split('/')
    const key = keyOf(method, segments)
    table.set(key, [...(table.get(key) ?? []), { segments, answer }])
  }

  return (call) => {
    const segments = segmentsOf(call.path)
    if (segments === undefined) return problem(400, `${call.path} holds an escape that is not UTF-8`)
    for (const { segments: expected, answer } of table.get(keyOf(call.method, segments)) ?? []) {
      const params = paramsOf(expected, segments)
      if (params !== undefined) return answer({ ...call, params })
    }
    return problem(404, `there is no ${call.method} ${call.path} here`)
  }
}

function segmentsOf(path: string): string[] | undefined {
  try {
    return path.slice(1).split('/').map(decodeURIComponent)
  } catch {
    return undefined
  }
}

function paramsOf(
  expected: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  const params: Record<string, string> = {}
  for (const [index, part] of expected.entries()) {
    const segment = segments[index]!
    if (part.startsWith(':') && segment !== '') params[part.slice(1)] = segment
    else if (part !== segment) return undefined
  }
  return params
}
