/**
 * The table of operations, cell by cell: a run is brought there, the API is asked, and what happens is what the table
 * says, to the run, to its log and to what it waited for.
 */
import type { RunStatus } from '@weft/engine'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ROUTES } from '../../src/api/contract.ts'
import { statusOfCode } from '../../src/api/errors.ts'
import {
  BESIDE_THE_TABLE,
  OPERATIONS,
  type Operation,
  type Outcome,
  outcomeOf,
  STATUSES,
  WAITS,
} from '../../src/api/operations.ts'
import type { Told } from '../api/world.ts'
import { childOf, type Ground, ground, propose, report, type Scene, sceneOf } from './scenes.ts'

let shared: Ground
beforeAll(async () => {
  shared = await ground()
})
afterAll(() => shared.end())

const names = <Name extends string>(record: Readonly<Record<Name, unknown>>): Name[] =>
  Object.keys(record) as Name[]

describe.each(names(STATUSES))('a run that is %s', (status) => {
  const waits = names(WAITS).filter((wait) => STATUSES[status].waits[wait] === true)
  describe.each(waits)('and waits, or waited, for: %s', (wait) => {
    test.concurrent.each(names(OPERATIONS))('%s', async (operation) => {
      const scene = await sceneOf(shared, status, wait)
      const before = await lookAt(scene)
      expect(before.status).toBe(status)
      const told = await ask(scene, operation)
      const outcome = outcomeOf(status, wait, operation) as Outcome
      await check(scene, { status, outcome, told, before })
      if (outcome.is !== 'refused' && outcome.is !== 'unchanged')
        await CONSEQUENCES[operation]?.(scene, status, told)
    })
  })
})

test('every route that writes to one run is an operation of the table, or says why not', () => {
  const rows = new Set<string>([
    ...Object.values(OPERATIONS).map(({ route }) => route),
    ...names(BESIDE_THE_TABLE),
  ])
  const writes = Object.entries(ROUTES)
    .filter(([, { method, path }]) => method !== 'GET' && /^\/runs\/:id(\/|$)/.test(path))
    .map(([name]) => name)
  expect(writes.filter((name) => !rows.has(name))).toEqual([])
})

interface Seen {
  readonly status: RunStatus
  readonly seq: number
  readonly graph: string
  readonly steps: readonly { readonly id: string; readonly waitsFor: readonly string[]; attempts: number }[]
}

/** Without the time at which the engine looks again by itself: that a command came may move it. */
async function lookAt({ world, id }: Scene): Promise<Seen> {
  const { wakeAt: _, ...seen } = (await world.get(`/runs/${id}`)).body
  return seen
}

async function ask(scene: Scene, operation: Operation): Promise<Told> {
  const { world, id } = scene
  switch (operation) {
    case 'cancel':
    case 'pause':
    case 'resume':
    case 'retry':
      return world.post(`/runs/${id}/${operation}`)
    case 'replay':
      return world.post(`/runs/${id}/fork`, { fromStep: 'x' })
    case 'fork':
      return world.post(`/runs/${id}/fork`, { atSeq: (await lookAt(scene)).seq })
    case 'patch':
      return propose(scene, 'extra')
    case 'delete':
      return world.ask('DELETE', `/runs/${id}`)
  }
}

interface Case {
  readonly status: RunStatus
  readonly outcome: Outcome
  readonly told: Told
  readonly before: Seen
}

async function check(scene: Scene, { status, outcome, told, before }: Case): Promise<void> {
  switch (outcome.is) {
    case 'moved':
      expect(told).toMatchObject({ status: 200, body: { accepted: true } })
      await untilStatus(scene, outcome.to)
      return
    case 'unchanged':
      expect(told).toMatchObject({ status: 200, body: { accepted: true } })
      expect(await lookAt(scene)).toEqual(before)
      return
    case 'patched': {
      expect(told).toMatchObject({ status: 200, body: { accepted: true } })
      const after = await lookAt(scene)
      expect(after.status).toBe(outcome.to ?? status)
      expect(after.graph).not.toBe(before.graph)
      expect(after.steps.map(({ id }) => id)).toContain('extra')
      const waitsOf = ({ steps }: Seen) => steps.find(({ id }) => id === 'x')?.waitsFor
      expect(waitsOf(after)).toEqual(waitsOf(before))
      return
    }
    case 'under_review': {
      expect(told).toMatchObject({ status: 200, body: { accepted: true } })
      const after = await lookAt(scene)
      expect([after.status, after.graph]).toEqual([status, before.graph])
      const { body } = await scene.world.get(`/approvals/${told.body.detail.review}`)
      expect([body.status, body.runId]).toEqual(['open', scene.id])
      return
    }
    case 'new_run': {
      expect([told.status, told.body.id === scene.id]).toEqual([202, false])
      const after = await lookAt(scene)
      expect([after.status, after.seq]).toEqual([before.status, before.seq])
      return
    }
    case 'deleted':
      expect(told.status).toBe(204)
      for (const path of ['', '/events', '/why', '/graph'])
        expect((await scene.world.get(`/runs/${scene.id}${path}`)).body.code).toBe('run_not_found')
      return
    case 'refused':
      expect([told.status, told.body.code]).toEqual([statusOfCode(outcome.code), outcome.code])
      // Phases are the engine's own words: a caller knows statuses.
      expect(told.body.detail).not.toMatch(/\bactive\b/)
      expect(told.body.detail.length).toBeGreaterThan(20)
      expect(await lookAt(scene)).toEqual(before)
      return
  }
}

/** The run comes to this status by what was done, and rests there. */
async function untilStatus(scene: Scene, status: RunStatus): Promise<void> {
  const { world, id } = scene
  if (status === 'cancelled') await world.event(id, ({ type }) => type === 'run.cancelled')
  expect((await lookAt(scene)).status).toBe(status)
}

type Consequence = (scene: Scene, status: RunStatus, told: Told) => Promise<void>

/** What the table says of the wait itself. */
const CONSEQUENCES: Readonly<Partial<Record<Operation, Consequence>>> = {
  async cancel(scene, status) {
    const { world, hands, id, wait } = scene
    if ((await lookAt(scene)).status === 'stopping') {
      await untilAborted(scene)
      await report(scene, 'cancelled')
      if (status === 'running') await world.fail(await hands.release(id, 'side'))
      await world.event(id, ({ type }) => type === 'run.cancelled')
    }
    if (wait === 'approval' || wait === 'review')
      expect((await decide(scene)).body.code).toBe('approval_closed')
    if (wait === 'message') expect((await send(scene)).body.code).toBe('run_finished')
    if (wait === 'child')
      expect((await world.get(`/runs/${await childOf(scene, id)}`)).body.status).toBe('cancelled')
  },
  async pause(scene, status) {
    if (status === 'queued' || isTimed(scene)) return
    await answerWait(scene)
    // What was recorded starts nothing before the run is resumed.
    expect((await lookAt(scene)).status).toBe('paused')
    await scene.world.post(`/runs/${scene.id}/resume`)
    if (status !== 'running') await completed(scene)
  },
  async resume(scene) {
    if (isTimed(scene)) return
    await answerWait(scene)
    await completed(scene)
  },
  async retry(scene, status) {
    const { world, hands, id, wait } = scene
    if (wait === 'worker' || wait === 'retry')
      expect((await hands.holding(id, 'x')).attempt).toBeGreaterThan(1)
    if (wait === 'child') expect((await hands.holding(await childOf(scene, id), 'work')).attempt).toBe(2)
    if (wait === 'approval') expect((await decide(scene)).body.code).toBe('superseded')
    if (isTimed(scene)) return
    await answerWait(scene, 2)
    if (status === 'failed' && wait !== 'worker') await world.complete(await hands.release(id, 'side'), null)
    await completed(scene)
  },
  replay: (scene, status, told) => goesOnAnew(scene, status, told.body.id, { retry: 'worker' }),
  async fork(scene, status, told) {
    const { world, hands, wait } = scene
    const { id } = told.body
    if (status === 'completed') await world.event(id, ({ type }) => type === 'run.stopping')
    else if (wait === 'review' && (status === 'running' || status === 'waiting' || status === 'paused')) {
      // What was done is done, and the patch has stayed behind.
      if (status === 'running') await world.complete(await hands.release(id, 'side'), null)
      await completed({ ...scene, id })
      expect((await lookAt({ ...scene, id })).steps.map((step) => step.id)).not.toContain('woven')
    } else await goesOnAnew(scene, status, id, { retry: 'timer' })
  },
}

const isTimed = ({ wait }: Scene): boolean => wait === 'timer' || wait === 'retry'

const completed = ({ world, id }: Scene): Promise<void> =>
  world.event(id, ({ type }) => type === 'run.completed')

/** Step `x` of the new run waits for the same, for itself. */
async function goesOnAnew(
  scene: Scene,
  status: RunStatus,
  id: string,
  instead: { readonly retry: 'worker' | 'timer' },
): Promise<void> {
  const { world, hands, wait } = scene
  const expected = wait === 'retry' ? instead.retry : wait === 'review' ? 'worker' : wait
  const copy: Scene = { ...scene, id }
  if (status === 'queued') {
    expect((await lookAt(copy)).status).toBe('queued')
    return
  }
  if (expected === 'worker') expect((await hands.holding(id, 'x')).attempt).toBe(1)
  else if (wait !== 'retry') await world.event(id, ({ type, key }) => type === 'step.waiting' && key === 'x')
  if (wait === 'child') await hands.holding(await childOf(copy, id), 'work')
  const step = (await lookAt(copy)).steps.find((one) => one.id === 'x')
  expect(step?.waitsFor).toEqual([expected])
  if (wait === 'approval') expect((await decide(copy)).status).toBe(200)
}

const decide = ({ world, id }: Scene, number = 1): Promise<Told> =>
  world.post(`/approvals/${id}.${number}/decide`, { decision: 'approve' })

const send = ({ world, id }: Scene): Promise<Told> => world.post(`/runs/${id}/messages`, { name: 'paid' })

/** What `x` waits for comes from outside; resolves once the log says so. */
async function answerWait(scene: Scene, approval = 1): Promise<void> {
  const { world, hands, id, wait } = scene
  if (wait === 'approval' || wait === 'review') expect((await decide(scene, approval)).status).toBe(200)
  if (wait === 'message') expect((await send(scene)).body.detail).toEqual({ step: 'x' })
  if (wait === 'child') await world.complete(await hands.release(await childOf(scene, id), 'work'), 'done')
  if (wait === 'worker') await world.complete(await hands.release(id, 'x'), 'done')
  await world.event(id, ({ type, key }) => type === 'step.completed' && key === 'x')
}

/** Resolves once whoever performs the attempt is told to end it. */
async function untilAborted({ hands, id, wait, world }: Scene): Promise<void> {
  const task =
    wait === 'worker'
      ? await hands.holding(id, 'x')
      : wait === 'child'
        ? await hands.holding(await childOf({ world }, id), 'work')
        : await hands.holding(id, 'side')
  while ((await world.transport.tasks.heartbeat('hands', [task])).abort.length === 0) await world.store.ping()
}
