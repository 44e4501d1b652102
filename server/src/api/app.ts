/**
 * The HTTP server: registers the contract's routes on Fastify, reads requests, writes answers and problems.
 *
 * Owns: the order in which a request is looked at (browser check, key, role, query, body, handler), the content types,
 * the limits of a body, and the one place where an error becomes a problem. What a route does is in `routes/`.
 */
import { isUtf8 } from 'node:buffer'
import { InvalidError, isObject } from '@weft/engine'
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify'
import type { Clock } from '../clock.ts'
import type { Service } from '../service.ts'
import { TransportUnavailable } from '../transport/transport.ts'
import { Keys, requireRole } from './auth.ts'
import { createBrowserCheck, isLoopback } from './browser.ts'
import type { Answer, Call, Handlers, Principal } from './call.ts'
import { createSendCommand } from './commands.ts'
import { pathsOf, ROUTES, type RouteContract, type RouteName } from './contract.ts'
import { Definitions } from './definitions.ts'
import { ApiError, summarise } from './errors.ts'
import { parseJsonText } from './json-text.ts'
import { createAdmission } from './limits.ts'
import { OutcomeWaits } from './outcome.ts'
import type { ApiParts, HandlerParts } from './parts.ts'
import { RunReader } from './reader.ts'
import { readBody, readQuery, routeNotFound } from './request.ts'
import { approvalHandlers } from './routes/approvals.ts'
import { bulkHandlers } from './routes/bulk.ts'
import { credentialHandlers } from './routes/credentials.ts'
import { deadLetterHandlers } from './routes/dead-letters.ts'
import { documentHandlers } from './routes/document.ts'
import { forkHandlers } from './routes/forks.ts'
import { keyHandlers } from './routes/keys.ts'
import { liveHandlers } from './routes/live.ts'
import { messageHandlers } from './routes/messages.ts'
import { opsHandlers } from './routes/ops.ts'
import { patchHandlers } from './routes/patches.ts'
import { runHandlers } from './routes/runs.ts'
import { submitHandlers } from './routes/submit.ts'
import { taskHandlers } from './routes/tasks.ts'
import { variableHandlers } from './routes/variables.ts'
import { workflowHandlers } from './routes/workflows.ts'
import { idempotencyKey } from './schemas.ts'
import { storeFailure } from './store-failure.ts'
import { createSubmit, type Submit } from './submit.ts'
import { Watch } from './watch.ts'
import { isForWebSocket, WebSockets } from './websockets.ts'

/** A value of 16 MiB and the envelope around it. */
export const MAX_BODY_BYTES = 17 * 1024 * 1024
const CLOSE_IDLE_EVERY_MS = 25

export interface Api extends Service {
  /** Where it listens, once started. */
  url(): string
  readonly app: FastifyInstance
  /** The way of `POST /runs`, without HTTP. */
  readonly submit: Submit
}

const ANONYMOUS: Principal = {
  workspace: '',
  actor: 'anonymous',
  role: 'viewer',
  taskTypes: null,
  keyId: null,
}

export function createApi(parts: ApiParts): Api {
  const { settings, store, transport, clock, log, graphs, nodeTypes } = parts
  const stopping = new AbortController()
  const watch = new Watch(transport)
  const definitions = new Definitions({ store, graphs, nodeTypes, onlyProcess: transport.kind === 'memory' })
  const submit = createSubmit({ store, transport, clock, log, graphs, definitions })
  const reader = new RunReader({ store, transport, graphs })
  const keys = new Keys(parts)
  const handlerParts: HandlerParts = {
    ...parts,
    keys,
    ...createAdmission(parts),
    definitions,
    submit,
    reader,
    watch,
    stopping: stopping.signal,
    sendCommand: createSendCommand({ store, transport, clock, log, watch, isHeld: parts.isHeld }),
    outcomes: new OutcomeWaits({ store, clock, watch, stopping: stopping.signal }),
  }
  const app = createServer(parts)
  const webSockets = new WebSockets()
  webSockets.attach(app)
  const isAnonymous = (name: RouteName, request: FastifyRequest): boolean =>
    name === 'live' && request.headers.authorization === undefined && webSockets.isUpgrade(request)
  register(
    app,
    { keys, isAnonymous },
    {
      ...workflowHandlers(handlerParts),
      ...submitHandlers(handlerParts),
      ...runHandlers(handlerParts),
      ...approvalHandlers(handlerParts),
      ...variableHandlers(handlerParts),
      ...patchHandlers(handlerParts),
      ...credentialHandlers(handlerParts),
      ...taskHandlers(handlerParts),
      ...bulkHandlers(handlerParts),
      ...forkHandlers(handlerParts),
      ...deadLetterHandlers(handlerParts),
      ...opsHandlers(handlerParts),
      ...documentHandlers(handlerParts),
      ...keyHandlers(handlerParts),
      ...messageHandlers(handlerParts),
      ...liveHandlers({ ...handlerParts, webSockets }),
    },
  )

  let state: 'new' | 'started' | 'stopped' = 'new'
  return {
    name: 'api',
    app,
    submit,
    async start() {
      if (state !== 'new') return
      state = 'started'
      await app.listen({ host: settings.host, port: settings.port, backlog: 1024 })
    },
    async stop() {
      if (state === 'stopped') return
      state = 'stopped'
      stopping.abort()
      await closeWithin(app, clock)
      watch.close()
    },
    url() {
      const address = app.server.address()
      if (address === null || typeof address === 'string')
        throw new Error('the API does not listen: call start() first')
      const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
      return `http://${host}:${address.port}`
    },
  }
}

/** A connection that becomes idle while the server closes would keep it open until its keep-alive time is over. */
async function closeWithin(app: FastifyInstance, clock: Clock): Promise<void> {
  let withdraw: () => void = () => {}
  const closeIdle = (): void => {
    app.server.closeIdleConnections()
    withdraw = clock.after(CLOSE_IDLE_EVERY_MS, closeIdle)
  }
  const closed = app.close()
  closeIdle()
  await closed
  withdraw()
}

function createServer({ clock, log, metrics, settings }: ApiParts): FastifyInstance {
  const prefix = clock.token(4)
  let count = 0
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: 'idle',
    // What still comes on an open connection while the server stops is answered, and the connection closed behind it.
    return503OnClosing: false,
    http: { shouldUpgradeCallback: isForWebSocket },
    exposeHeadRoutes: false,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 500 },
    genReqId: ({ headers }) => {
      const given = headers['x-request-id']
      return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given)
        ? given
        : `${prefix}-${(++count).toString(36)}`
    },
    frameworkErrors: (error, request, reply) => {
      writeProblem(
        ApiError.of('malformed_request', `The request’s path cannot be read: ${error.message}.`),
        request,
        reply,
      )
    },
  }) as unknown as FastifyInstance
  const checkBrowser = createBrowserCheck(settings)
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    try {
      const { headers, isPreflight } = checkBrowser(request.method, request.headers)
      reply.headers(headers)
      if (isPreflight) reply.code(204).send()
      else done()
    } catch (error) {
      done(error as Error)
    }
  })
  app.addHook('onResponse', (request, reply, done) => {
    metrics.request(
      request.method,
      request.routeOptions.url ?? 'none',
      reply.statusCode,
      reply.elapsedTime / 1000,
    )
    done()
  })
  app.setNotFoundHandler((request) => {
    throw routeNotFound(request.method, request.url)
  })
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const problem = problemOf(error)
    if (problem.status >= 500)
      log.error({ requestId: request.id, error: problem.cause ?? error }, problem.message)
    else metrics.refused(problem.code)
    writeProblem(problem, request, reply)
  })
  readContent(app)
  return app
}

function readContent(app: FastifyInstance): void {
  const text = (body: Buffer): string => {
    if (!isUtf8(body))
      throw ApiError.of('malformed_text', 'The body is not UTF-8. Encode it as UTF-8 and send it again.')
    return body.toString('utf8').replace(/^\uFEFF/, '')
  }
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    /^application\/(?:[\w.+-]+\+)?json(?:;|$)/,
    { parseAs: 'buffer' },
    (_request, body, done) => {
      try {
        const content = text(body as Buffer)
        done(null, content.trim() === '' ? undefined : parseJsonText(content))
      } catch (error) {
        done(error as Error)
      }
    },
  )
  app.addContentTypeParser(
    /^(?:application|text)\/(?:x-)?yaml(?:;|$)/,
    { parseAs: 'buffer' },
    (_request, body, done) => {
      try {
        done(null, new YamlText(text(body as Buffer)))
      } catch (error) {
        done(error as Error)
      }
    },
  )
  // `curl -X POST` without a body sends a type but nothing to read.
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer' },
    (_request, body, done) => {
      if (body.length === 0) done(null, undefined)
      else
        done(
          ApiError.of(
            'unsupported_media_type',
            'The body came as form data. Send JSON: add `-H "Content-Type: application/json"`.',
          ),
        )
    },
  )
}

/** A body that came as YAML; routes that read definitions take its text. */
class YamlText {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

interface Admission {
  readonly keys: Keys
  /** The caller says later who it is: a browser cannot send a key with the request for a WebSocket. */
  readonly isAnonymous: (name: RouteName, request: FastifyRequest) => boolean
}

function register(app: FastifyInstance, admission: Admission, handlers: Handlers): void {
  for (const [name, contract] of Object.entries(ROUTES) as [RouteName, RouteContract][]) {
    const handler = handlers[name] as (call: Call) => Promise<Answer> | Answer
    const handle = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      const principal = await authenticate(admission, name, contract, request)
      const answer = await handler({
        principal,
        setHeaders: (headers) => void reply.headers(headers),
        params: request.params,
        query: readQuery(contract, request.query),
        body: readBody(contract, bodyOf(contract, request.body)),
        headers: request.headers,
        idempotencyKey: idempotencyKeyOf(request),
        gone: () => goneSignal(reply),
      } as Call)
      if ('stream' in answer) {
        await answer.stream(reply)
        return reply
      }
      reply.code(answer.status)
      if (answer.headers) reply.headers(answer.headers)
      if (answer.body === undefined) return reply.send()
      if (typeof answer.body === 'string' || answer.body instanceof Uint8Array) return reply.send(answer.body)
      // Written here: Fastify would look for a schema first, and the answers are plain data.
      reply.header('content-type', 'application/json; charset=utf-8')
      return reply.send(JSON.stringify(answer.body))
    }
    for (const url of pathsOf(contract)) {
      app.route({
        method: contract.method,
        url,
        handler: handle,
        ...(contract.ops ? { exposeHeadRoute: true } : {}),
      })
    }
  }
}

async function authenticate(
  { keys, isAnonymous }: Admission,
  name: RouteName,
  contract: RouteContract,
  request: FastifyRequest,
): Promise<Principal> {
  if (contract.role === 'open') {
    const isLocal =
      isLoopback(request.ip) &&
      request.headers['x-forwarded-for'] === undefined &&
      request.headers.forwarded === undefined
    if (name === 'metrics' && !isLocal) await keys.principal(request.headers.authorization)
    return ANONYMOUS
  }
  if (isAnonymous(name, request)) return ANONYMOUS
  const principal = await keys.principal(request.headers.authorization)
  requireRole(principal, contract.role, `${contract.method} ${contract.path}`)
  return principal
}

/** Routes that read definitions also take one as it is: as YAML text, or as JSON without an envelope. */
function bodyOf(contract: RouteContract, body: unknown): unknown {
  const isDefinition = isObject(body) && 'nodes' in body && !('definition' in body)
  if (!(body instanceof YamlText)) return contract.yaml && isDefinition ? { definition: body } : body
  if (contract.yaml) return { source: body.text }
  throw ApiError.of(
    'unsupported_media_type',
    `${contract.method} ${contract.path} reads JSON, and the body came as YAML. Send it as JSON.`,
  )
}

function idempotencyKeyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key']
  if (key === undefined) return undefined
  if (idempotencyKey.safeParse(key).success) return key as string
  throw ApiError.of(
    'invalid_request',
    'The Idempotency-Key header must have 1 to 255 characters. Shorten it, or leave it out.',
  )
}

/** One for all: `abort()` without a reason makes an exception with a stack, at the end of every request. */
const GONE = new Error('the caller has hung up, or has its answer')

function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => controller.abort(GONE))
  return controller.signal
}

function problemOf(error: FastifyError): ApiError {
  if (error instanceof ApiError) return error
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return ApiError.of(
      'body_too_large',
      `The body is larger than ${MAX_BODY_BYTES} bytes. Send less, or a reference to the data (a URL, an id).`,
    )
  }
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return ApiError.of(
      'unsupported_media_type',
      'The body’s type is not read here. Send JSON (`Content-Type: application/json`), or a definition as `application/yaml`.',
    )
  }
  if (typeof error.statusCode === 'number' && error.statusCode >= 400 && error.statusCode < 500) {
    return ApiError.of('malformed_request', `The request cannot be read: ${error.message}.`, { cause: error })
  }
  if ((error as unknown) instanceof InvalidError) {
    const { problems } = error as unknown as InvalidError
    return ApiError.of('invalid_request', `${summarise(problems, 'The request')} Nothing was done.`, {
      problems,
      cause: error,
    })
  }
  const { error: known } = storeFailure(error)
  if (known instanceof ApiError) return known
  if ((error as unknown) instanceof TransportUnavailable) {
    return ApiError.of('transport_unavailable', error.message, {
      headers: { 'retry-after': '5' },
      cause: error,
    })
  }
  return ApiError.of(
    'internal',
    'Something went wrong inside Weft. The server’s log has the details under this request id; runs that were accepted are safe.',
    { cause: error },
  )
}

function writeProblem(problem: ApiError, request: FastifyRequest, reply: FastifyReply): void {
  reply
    .code(problem.status)
    .headers({
      ...problem.headers,
      'x-request-id': request.id,
      'content-type': 'application/problem+json; charset=utf-8',
    })
    .send(JSON.stringify(problem.toBody(request.id, request.url)))
}
