/**
 * What holds for every route, tried on each one that the OpenAPI document names: who may not call it, that it shows
 * nothing of another workspace, and that it answers what it cannot read. A route needs a row in `ROWS`.
 */
import type { Json } from '@weft/engine'
import { expect, test } from 'vitest'
import { MAX_BODY_BYTES } from '../../src/api/app.ts'
import { ROUTES, type RouteContract, type RouteName } from '../../src/api/contract.ts'
import { openApiDocument } from '../../src/api/openapi.ts'
import * as schemas from '../../src/api/schemas.ts'
import { ROLES, WORKER_ROLE } from '../../src/api/schemas.ts'
import { ACTS, type ApiWorld, ASKS, type Asked, apiWorld, type Told, workflow } from './world.ts'

/** Names of things that exist, in the workspace of the world. */
interface Things {
  readonly run: string
  readonly approval: string
  readonly blob: string
  readonly key: string
  readonly letter: string
  readonly workflow: string
}

interface Row {
  /** What the path names; for routes with a parameter in it. */
  readonly path?: (things: Things) => Readonly<Record<string, string>>
  /** A body that the route takes. */
  readonly body?: Json
  /** The answer to a key of another workspace, where it is not 404: the path names what the call makes. */
  readonly elsewhere?: number
}

const definition = workflow(ACTS)
const run = ({ run }: Things) => ({ id: run })
const approval = ({ approval }: Things) => ({ id: approval })
const letter = ({ letter }: Things) => ({ id: letter })
const variable = () => ({ name: 'region' })
const credential = () => ({ name: 'shop' })
const stored = ({ workflow }: Things) => ({ reference: workflow })

const ROWS: Record<RouteName, Row> = {
  createWorkflow: { body: { definition } },
  validateWorkflow: { body: { definition } },
  listWorkflows: {},
  getWorkflow: { path: stored },
  createWorkflowVersion: { path: stored, body: { definition }, elsewhere: 201 },
  listWorkflowVersions: { path: stored },
  tagWorkflow: { path: (things) => ({ ...stored(things), tag: 'prod' }), body: { version: 1 } },
  deleteWorkflow: { path: stored },
  workflowSchema: {},
  submitRun: { body: { definition } },
  orchestrate: { body: { definition } },
  listRuns: {},
  getRun: { path: run },
  deleteRun: { path: run },
  runEvents: { path: run },
  live: {},
  runGraph: { path: run },
  runWhy: { path: run },
  cancelRun: { path: run, body: {} },
  pauseRun: { path: run, body: {} },
  resumeRun: { path: run, body: {} },
  retryRun: { path: run, body: {} },
  resolveStep: { path: run, body: { key: 'act', outcome: 'done' } },
  recoverRun: { path: run, body: {} },
  sendMessage: { path: run, body: { name: 'x' } },
  postMessage: { body: { name: 'paid' } },
  listMessages: {},
  getMessage: { path: () => ({ id: 'kept-one' }) },
  deleteMessage: { path: () => ({ id: 'kept-one' }) },
  patchRun: { path: run, body: { operations: [{ op: 'remove', path: '/nodes/ask' }], reason: 'away' } },
  listPatches: { path: run },
  forkRun: { path: run, body: { atSeq: 1 } },
  cancelRuns: { body: { filter: {} } },
  retryRuns: { body: { filter: {} } },
  listDeadLetters: {},
  getDeadLetter: { path: letter },
  replayDeadLetter: { path: letter, body: {} },
  listWorkers: {},
  listQueues: {},
  replayDeadLetters: { body: { filter: {} } },
  listApprovals: {},
  getApproval: { path: approval },
  decideApproval: { path: approval, body: { decision: 'approve' } },
  listVariables: {},
  getVariable: { path: variable },
  setVariable: { path: variable, body: { value: 'theirs' }, elsewhere: 200 },
  deleteVariable: { path: variable },
  createCredential: { body: { name: 'other', value: { token: 'ours' } } },
  listCredentials: {},
  rotateCredential: { path: credential, body: { value: { token: 'theirs' } } },
  deleteCredential: { path: credential },
  getBlob: { path: ({ blob }) => ({ hash: blob }) },
  createKey: { body: { name: 'ci', role: 'viewer' } },
  listKeys: {},
  revokeKey: { path: ({ key }) => ({ id: key }) },
  listNodeTypes: {},
  registerNodeTypes: { body: { types: [{ type: 'resize' }] } },
  claimTasks: { body: { worker: 'w', types: ['act'], waitMs: 0 } },
  heartbeatTasks: { body: { worker: 'w', tasks: [] } },
  completeTask: { body: { worker: 'w', task: 'none', output: 1 } },
  failTask: { body: { worker: 'w', task: 'none', error: { message: 'broke' } } },
  recordTask: { body: { worker: 'w', task: 'none', name: 'paid' } },
  about: {},
  resumeAll: {},
  health: {},
  ready: {},
  metrics: {},
  openApi: {},
  reference: {},
}

interface Operation {
  readonly operationId: RouteName
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly 'x-weft-role'?: (typeof ROLES)[number] | typeof WORKER_ROLE
  readonly requestBody?: object
}

const OPERATIONS: readonly Operation[] = Object.entries(
  openApiDocument('0.0.0').paths as unknown as Record<string, Record<string, Operation>>,
).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    ...operation,
    path,
    method: method.toUpperCase() as Operation['method'],
  })),
)
const CLOSED = OPERATIONS.filter((operation) => operation['x-weft-role'] !== undefined)
const WITH_ID = OPERATIONS.filter(({ path }) => path.includes('{'))
const WITH_BODY = OPERATIONS.filter(({ requestBody }) => requestBody !== undefined)

const NO_THINGS: Things = {
  run: '01900000-0000-7000-8000-000000000000',
  approval: '01900000-0000-7000-8000-000000000000.1',
  blob: `sha256:${'0'.repeat(64)}`,
  workflow: 'tested',
  letter: '01900000-0000-7000-8000-000000000000.2',
  key: '01900000-0000-7000-8000-000000000000',
}

function ask(world: ApiWorld, operation: Operation, asked: Asked = {}, things = NO_THINGS): Promise<Told> {
  const row = ROWS[operation.operationId]
  const names = row.path?.(things) ?? {}
  const url = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => names[name] ?? `no-${name}`)
  const body = row.body === undefined || asked.text !== undefined ? {} : { body: row.body }
  return world.ask(operation.method, url, { ...body, ...asked })
}

/** Everything that a path can name, alive in the world's workspace. */
async function make(world: ApiWorld): Promise<Things> {
  await world.post('/api/v1/workflows', { definition })
  await world.ask('PUT', '/api/v1/variables/region', { body: { value: 'ours' } })
  await world.post('/api/v1/credentials', { name: 'shop', value: { token: 'ours' } })
  await world.post('/api/v1/messages', { name: 'unheard', id: 'kept-one' })
  const asking = await world.run(ASKS)
  await world.waits(asking)
  const failing = await world.run({ boom: { type: 'fail', with: { message: 'it broke' } } })
  await world.ended(failing)
  const { body: letters } = await world.get('/api/v1/dead-letters')
  const bytes = new TextEncoder().encode('only for its own workspace')
  const { $blob: blob } = await world.store.blobs.put({
    workspace: world.workspace,
    bytes,
    contentType: 'text/plain',
    at: world.clock.now(),
  })
  const { body: key } = await world.post('/api/v1/keys', { name: 'ci', role: 'viewer' })
  return {
    run: asking,
    approval: `${asking}.1`,
    blob,
    workflow: 'tested',
    key: key.id,
    letter: letters.items[0].id,
  }
}

test('every documented route has a row, with a body and names where the document says so', () => {
  expect(OPERATIONS.map(({ operationId }) => operationId).sort()).toEqual(Object.keys(ROWS).sort())
  for (const { operationId, path, requestBody } of OPERATIONS) {
    const row = ROWS[operationId]
    expect([operationId, row.body !== undefined]).toEqual([operationId, requestBody !== undefined])
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    expect([operationId, Object.keys(row.path?.(NO_THINGS) ?? {})]).toEqual([operationId, names])
  }
})

test.each(OPERATIONS)('no key: $method $path', async (operation) => {
  const world = await apiWorld({ coordinator: false })
  const told = await ask(world, operation, { key: null })
  if (operation['x-weft-role'] === undefined) expect(told.status).toBe(200)
  else expect([told.status, told.body.code]).toEqual([401, 'unauthorized'])
})

test.each(CLOSED)('a role that does not suffice: $method $path', async (operation) => {
  const world = await apiWorld({ coordinator: false })
  const needed = operation['x-weft-role'] as NonNullable<Operation['x-weft-role']>
  const lower =
    needed === WORKER_ROLE ? ROLES.slice(0, -1) : [...ROLES.slice(0, ROLES.indexOf(needed)), WORKER_ROLE]
  // A key that a newer Weft has made may have a role that this one does not know.
  for (const role of ['unheard-of', ...lower]) {
    const told = await ask(world, operation, { key: await world.key(role) })
    expect([role, told.status, told.body.code]).toEqual([role, 403, 'forbidden'])
  }
})

test('another workspace’s things are not there, for any route that names one', async () => {
  const world = await apiWorld()
  const things = await make(world)
  for (const operation of WITH_ID) {
    const key = await world.key('admin', `${world.workspace}-${operation.operationId}`)
    const told = await ask(world, operation, { key }, things)
    const { operationId } = operation
    expect([operationId, told.status]).toEqual([operationId, ROWS[operationId].elsewhere ?? 404])
  }
  expect((await world.get(`/runs/${things.run}`)).body.status).toBe('waiting')
  expect((await world.get('/api/v1/workflows/tested')).body).toMatchObject({ version: 1, tags: ['latest'] })
  expect((await world.get('/api/v1/variables/region')).body.value).toBe('ours')
  expect((await world.get('/api/v1/messages/kept-one')).body.status).toBe('kept')
  expect((await world.get('/api/v1/keys')).text).toContain(things.key)
  expect((await world.get(`/api/v1/blobs/${things.blob}`)).text).toBe('only for its own workspace')
})

test.each(WITH_BODY)('a body that cannot be read: $method $path', async (operation) => {
  const world = await apiWorld({ coordinator: false })
  const cut = await ask(world, operation, { text: '{"a":' })
  expect([cut.status, cut.body.code]).toEqual([400, 'malformed_json'])
  const strange = await ask(world, operation, { text: '{"no such key":1}' })
  expect([strange.status, strange.body.code]).toEqual([422, 'invalid_request'])
  const wrong = await ask(world, operation, { text: '[1]' })
  expect([wrong.status, wrong.body.code]).toEqual([422, 'invalid_request'])
})

test('what a route answers has the shape that the document promises', async () => {
  const world = await apiWorld()
  const things = await make(world)
  const checked: string[] = []
  for (const operation of OPERATIONS.filter(({ method }) => method !== 'DELETE')) {
    const { operationId } = operation
    const told = await ask(world, operation, {}, things)
    const contract: RouteContract = ROUTES[operationId]
    const promised = told.status < 300 ? contract.answers[told.status] : schemas.problemBody
    expect([operationId, told.status, promised === undefined]).toEqual([operationId, told.status, false])
    if (typeof promised !== 'object') continue
    expect([operationId, promised.safeParse(told.body).error]).toEqual([operationId, undefined])
    if (told.status < 300) checked.push(operationId)
  }
  expect(checked.length).toBeGreaterThan(30)
})

test('a body that is too large, for any route that reads one', async () => {
  const world = await apiWorld({ coordinator: false })
  const text = `"${'x'.repeat(MAX_BODY_BYTES)}"`
  for (const operation of WITH_BODY) {
    const told = await ask(world, operation, { text })
    expect([operation.operationId, told.status, told.body.code]).toEqual([
      operation.operationId,
      413,
      'body_too_large',
    ])
  }
})
