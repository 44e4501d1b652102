/**
 * Runs of every status, with every wait: how a run is brought into a cell of the table of operations. The workers are the
 * test's hands: they take every attempt that comes and hold it until they are told what to report.
 */
import type { JsonObject, RunStatus, Task } from '@weft/engine'
import type { Wait } from '../../src/api/operations.ts'
import { type ApiWorld, startedWorld, type Told } from '../api/world.ts'

const HELD_MS = 600_000

export class Hands {
  readonly #world: ApiWorld
  readonly #held = new Map<string, Task>()
  readonly #asked = new Map<string, (task: Task) => void>()
  readonly #ended = new AbortController()
  readonly #work: Promise<void>

  constructor(world: ApiWorld) {
    this.#world = world
    this.#work = this.#take()
  }

  async #take(): Promise<void> {
    const capacity = new Map([['act', 100]])
    while (!this.#ended.signal.aborted) {
      for (const { task } of await this.#world.transport.tasks.take('hands', capacity, this.#ended.signal)) {
        const name = `${task.runId} ${task.key}`
        this.#held.set(name, task)
        this.#asked.get(name)?.(task)
      }
    }
  }

  /** The attempt of this step that the hands hold, once they do. */
  async holding(runId: string, key: string): Promise<Task> {
    const name = `${runId} ${key}`
    const held = this.#held.get(name)
    if (held) return held
    return new Promise((resolve) => this.#asked.set(name, resolve))
  }

  /** Takes the attempt out of the hands, to report it. */
  async release(runId: string, key: string): Promise<Task> {
    const task = await this.holding(runId, key)
    this.#held.delete(`${runId} ${key}`)
    return task
  }

  async end(): Promise<void> {
    this.#ended.abort()
    await this.#work
  }
}

export interface Ground {
  readonly world: ApiWorld
  readonly hands: Hands
  end(): Promise<void>
}

export async function ground(): Promise<Ground> {
  const world = await startedWorld({ leaseMs: HELD_MS })
  const hands = new Hands(world)
  return {
    world,
    hands,
    async end() {
      await hands.end()
      await world.end()
    },
  }
}

/** The step that waits, `x`, of each kind. */
const WAITING: Readonly<Record<Wait, JsonObject>> = {
  worker: { type: 'act', retry: 'off' },
  timer: { type: 'delay', with: { for: '1h' } },
  retry: { type: 'act', retry: { attempts: 3, delay: '1h', maxDelay: '1h' } },
  approval: { type: 'approval', with: { title: 'Go on?' } },
  message: { type: 'wait', with: { message: 'paid' } },
  child: { type: 'workflow', with: { nodes: { work: { type: 'act', retry: 'off' } } } },
  review: { type: 'act', retry: 'off' },
}

export interface Scene extends Ground {
  readonly id: string
  readonly wait: Wait
}

/** A run of this status whose step `x` waits, or waited when the run ended; or that waits for a review. */
export async function sceneOf(ground: Ground, status: RunStatus, wait: Wait): Promise<Scene> {
  if (wait !== 'review' || (status !== 'failed' && status !== 'cancelled')) return begin(ground, status, wait)
  const ended = await begin(ground, status, 'worker', REVIEWED)
  await propose(ended, 'woven')
  return { ...ended, wait }
}

const REVIEWED: JsonObject = { patches: { api: 'review' } }

/** A patch that adds a step of this name behind `x`. */
export const propose = ({ world, id }: Scene, name: string): Promise<Told> =>
  world.post(`/runs/${id}/patches`, {
    operations: [
      { op: 'add', path: `/nodes/${name}`, value: { type: 'set', needs: 'x', with: { late: true } } },
    ],
    reason: `weave in ${name}`,
  })

async function begin(
  ground: Ground,
  status: RunStatus,
  wait: Wait,
  rest: JsonObject = wait === 'review' ? REVIEWED : {},
): Promise<Scene> {
  const { world, hands } = ground
  const beside = BESIDE[status]
  const nodes: JsonObject =
    status === 'queued'
      ? // Nobody takes tasks of this type here.
        { x: { type: 'log', with: { message: 'x' } } }
      : {
          first: { type: 'set', with: { ready: true } },
          x: { ...WAITING[wait], needs: 'first' },
          ...(status === 'failed' && wait === 'worker' ? {} : beside),
        }
  const id = await world.run(nodes, {}, rest)
  const scene = { ...ground, id, wait }
  if (status === 'queued') return scene
  await untilWaiting(scene, id)
  switch (status) {
    case 'running':
      await hands.holding(id, 'side')
      break
    case 'waiting':
      break
    case 'paused':
      await world.post(`/runs/${id}/pause`)
      break
    case 'stopping':
      await world.post(`/runs/${id}/cancel`)
      break
    case 'completed':
      await world.complete(await hands.release(id, 'side'), null)
      await report(scene, 'completed')
      break
    case 'failed':
      if (wait === 'worker') await world.fail(await hands.release(id, 'x'))
      else {
        await world.fail(await hands.release(id, 'side'))
        await report(scene, 'cancelled')
      }
      break
    case 'cancelled':
      await world.post(`/runs/${id}/cancel`)
      await report(scene, 'cancelled')
      break
  }
  if (status === 'completed' || status === 'failed' || status === 'cancelled')
    await world.event(id, ({ type }) => type === `run.${status}`)
  return scene
}

/** A second branch: it keeps the run `running`, or ends it. */
const BESIDE: Readonly<Record<RunStatus, JsonObject>> = {
  queued: {},
  running: { side: { type: 'act', retry: 'off' } },
  waiting: {},
  paused: {},
  stopping: {},
  completed: { side: { type: 'act', retry: 'off' }, end: { type: 'stop', needs: 'side' } },
  failed: { side: { type: 'act', retry: 'off' } },
  cancelled: {},
}

/** The child of the run, by the step that waits for it. */
export async function childOf({ world }: Pick<Ground, 'world'>, id: string): Promise<string> {
  await world.event(id, ({ type, key }) => type === 'step.waiting' && key === 'x')
  const { items } = (await world.get(`/runs/${id}/events`)).body
  return items.filter((event: { type: string }) => event.type === 'step.waiting').at(-1).wait.childId
}

/** Resolves once step `x` of the run waits as the scene says. */
async function untilWaiting({ world, hands, wait }: Scene, id: string): Promise<void> {
  if (wait === 'worker') await hands.holding(id, 'x')
  else if (wait === 'review') {
    const task = await hands.release(id, 'x')
    await propose({ world, id } as Scene, 'woven')
    await world.complete(task, null)
    await world.event(id, ({ type, key }) => type === 'step.completed' && key === 'x')
  } else if (wait === 'child') await hands.holding(await childOf({ world }, id), 'work')
  else if (wait === 'retry') {
    await world.fail(await hands.release(id, 'x'), true)
    await world.event(id, ({ type }) => type === 'attempt.failed')
  } else await world.event(id, ({ type, key }) => type === 'step.waiting' && key === 'x')
}

/** What a stopping run still waits for has ended: the attempt came to its result, or was aborted. */
export async function report(scene: Scene, how: 'completed' | 'cancelled'): Promise<void> {
  const { world, hands, id, wait } = scene
  if (wait !== 'worker' && wait !== 'child') return
  const [runId, key] = wait === 'worker' ? [id, 'x'] : [await childOf(scene, id), 'work']
  await world.event(runId, ({ type }) => type === 'run.stopping')
  const task = await hands.release(runId, key)
  if (how === 'completed') await world.complete(task, 'late')
  else await world.fail(task)
}
