/** Random patches for random runs as they are at the moment: some right, and some wrong in each way that has a code. */
import type { Command, Json, JsonObject, RunState, Verdict } from '../../src/index.ts'
import { isObject } from '../../src/index.ts'
import type { Random } from './random.ts'
import type { Patcher } from './world.ts'

type Patch = Pick<Extract<Command, { kind: 'patch' }>, 'operations' | 'baseVersion' | 'by' | 'stepKey'>
type Make = (run: RunState, random: Random, id: string) => Patch

const pending = (run: RunState): string[] =>
  [...run.steps.values()].filter(({ status }) => status === 'pending').map(({ id }) => id)
const reached = (run: RunState): string[] =>
  [...run.steps.values()].filter(({ status }) => status !== 'pending').map(({ id }) => id)
const all = (run: RunState): string[] => [...run.steps.keys()]
const orNew = (ids: readonly string[], random: Random, id: string): string =>
  ids.length > 0 ? random.pick(ids) : id

const after = (target: string, on = 'always'): JsonObject => ({
  type: 'work',
  needs: { [target]: { on: [on] } },
})
const ops = (...operations: Json[]): Patch => ({ operations })
const add = (path: string, value: Json): JsonObject => ({ op: 'add', path, value })

const RIGHT: readonly Make[] = [
  (run, random, id) => ops(add(`/nodes/${id}`, after(random.pick(all(run))))),
  (run, random, id) => ops(add('/nodes/-', { id, ...after(random.pick(all(run))) })),
  (run, random, id) => ops(add(`/nodes/${id}`, { ...after(random.pick(all(run))), type: 'look' })),
  // Between two nodes: behind any, before one that was not reached.
  (run, random, id) => {
    const into = pending(run).at(-1)
    const behind =
      into === undefined
        ? random.pick(all(run))
        : (Object.keys(run.graph.definition.nodes[into]?.needs ?? {})[0] ?? null)
    const node = behind === null ? { type: 'work' } : after(behind)
    return into === undefined
      ? ops(add(`/nodes/${id}`, node))
      : ops(add(`/nodes/${id}`, node), add(`/nodes/${into}/needs/${id}`, 'always'))
  },
  (run, random, id) => ops(add(`/nodes/${orNew(pending(run), random, id)}/notes`, id)),
  (run, random, id) =>
    ops(add('/output', id), add(`/nodes/${id}`, after(random.pick(reached(run)), 'success'))),
  (run, random, id) => ({
    ...ops(add(`/nodes/${id}`, after(random.pick(all(run))))),
    baseVersion: random.pick(run.versions),
  }),
  (run, random) => ops({ op: 'remove', path: `/nodes/${random.pick(all(run))}` }),
  // What failed is mended, which counts once the run is retried.
  (run, random, id) => ops(add(`/nodes/${random.pick(reached(run))}/notes`, id)),
]

/** What the policy of `POLICIES` has against a patch. */
export const ALLOWED_HOST = 'allowed.test'
const call = (url: string, more: JsonObject = {}): JsonObject => ({ type: 'http', with: { url }, ...more })

const WRONG: readonly Make[] = [
  (_run, _random, id) => ops(add(`/nodes/${id}`, call('https://elsewhere.test/'))),
  (_run, _random, id) =>
    ops(add(`/nodes/${id}`, call(`https://${ALLOWED_HOST}/`, { credential: 'of-nobody' }))),
  (run, random, id) => ({
    ...ops(add('/output', id)),
    by: 'agent',
    stepKey: random.pick(pending(run).concat('none')),
  }),
  (_run, random) => ({
    operations: random.pick<Json>([[], {}, [{ op: 'ad', path: '/x' }], [{ op: 'remove', path: 'x' }]]),
  }),
  (_run, _random, id) => ops({ op: 'remove', path: `/nodes/${id}` }),
  (run, random, id) => ops({ op: 'test', path: `/nodes/${random.pick(all(run))}/type`, value: id }),
  (run, random) => ops({ op: 'remove', path: `/nodes/${random.int(run.steps.size)}` }),
  (run, random) => ops(add(`/nodes/${random.pick(all(run))}`, { type: 'work' })),
  (_run, _random, id) => ops(add(`/nodes/${id}`, { type: 'work', needs: ['nobody'] })),
  (_run, _random, id) => ops(add(`/nodes/${id}`, after(`${id}b`)), add(`/nodes/${id}b`, after(id))),
  (run, random) => ops({ op: 'replace', path: `/nodes/${random.pick(reached(run))}/type`, value: 'once' }),
  (_run, _random, id) => ops(add(`/nodes/${id}`, { type: 'wokr' })),
  (_run, random) => ops(random.pick([add('/limits', { nodes: 5 }), add('/name', 'other')])),
  (_run, _random) =>
    ops(
      add('/x-big', [1, 2, 3]),
      ...Array.from({ length: 18 }, () => ({ op: 'copy', from: '/x-big', path: '/x-big/-' })),
    ),
  (run, random, id) => ({
    ...ops(add(`/nodes/${random.pick(pending(run).concat('none'))}/notes`, id)),
    baseVersion: run.versions[0]!,
  }),
  (run, _random, id) => ({ ...ops(add('/output', id)), baseVersion: run.versions[0]! }),
  (_run, _random, id) => ({ ...ops(add('/output', id)), baseVersion: `sha256:${id}` }),
]

/** Every code with which a run can refuse a patch. */
export const REFUSALS: readonly string[] = [
  'run_finished',
  'run_stopping',
  'patch_malformed',
  'patch_does_not_apply',
  'patch_test_failed',
  'patch_numeric_index',
  'patch_exists',
  'patch_invalid',
  'patch_cycle',
  'patch_touches_reached',
  'patch_exceeds_limits',
  'patch_unknown_type',
  'patch_immutable',
  'patch_conflict',
  'patch_unknown_version',
  'patch_denied',
  'patch_host_denied',
  'patch_credential_denied',
  'patch_step_settled',
]

/** What workflows say of patches, by seed. */
export const POLICIES = [
  {},
  { hosts: [ALLOWED_HOST], credentials: ['known'] },
  { hosts: [ALLOWED_HOST], credentials: ['known'], agent: 'auto' },
  { hosts: [ALLOWED_HOST], credentials: ['known'], agent: 'deny' },
  { api: 'review' },
  {},
] as const

/** How a review can end, but for those that end with their run. */
export const OUTCOMES = ['approved', 'rejected', 'timeout', 'refused'] as const

export class RandomPatches implements Patcher {
  applied = 0
  proposed = 0
  /** What an agent proposed last, by run. */
  readonly #ideas = new Map<string, Json>()
  readonly outcomes = new Map<string, number>()
  readonly refused = new Map<string, number>()
  /** Phases of the runs that took one. */
  readonly phases = new Map<string, number>()

  make(run: RunState, random: Random, nth: number): Patch {
    // Somebody else has the same idea: what is under review no longer fits when it is approved.
    const idea = run.reviews.size > 0 && random.chance(0.5) ? this.#ideas.get(run.id) : undefined
    if (idea) return { operations: idea }
    const patch = random.pick(random.chance(0.6) ? RIGHT : WRONG)(run, random, `p${nth}`)
    if (patch.by === undefined && random.chance(0.4)) {
      this.#ideas.set(run.id, patch.operations)
      return { ...patch, by: 'agent' }
    }
    return patch
  }

  told(verdict: Verdict, phase: string): void {
    if (verdict.accepted && isObject(verdict.detail) && 'review' in verdict.detail) this.proposed++
    else if (verdict.accepted) {
      this.applied++
      count(this.phases, phase)
    } else count(this.refused, verdict.code)
  }

  reviewed(outcome: string): void {
    count(this.outcomes, outcome)
    if (outcome === 'approved') this.applied++
  }

  get sent(): number {
    return [...this.refused.values()].reduce((sum, times) => sum + times, this.applied + this.proposed)
  }
}

const count = (counts: Map<string, number>, name: string): void =>
  void counts.set(name, (counts.get(name) ?? 0) + 1)
