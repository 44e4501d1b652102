/**
 * The properties are worth what they catch: each of these one-line mistakes, put into a copy of the engine, must be found
 * by the same worlds that the engine passes.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { newTally, playSeed } from './campaign.ts'
import type { Engine } from './world.ts'

interface Mutant {
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
}

const MUTANTS: readonly Mutant[] = [
  {
    name: 'a join of any starts with every edge',
    file: 'routing.ts',
    find: "if (step.status !== 'pending' || holdsStart(state, step.id)) return\n  const any",
    replace: 'const any',
  },
  {
    name: 'a join of all starts with the first edge',
    file: 'routing.ts',
    find: '(any || step.unmet === 0)',
    replace: '(any || step.unmet >= 0)',
  },
  {
    name: 'skips do not spread',
    file: 'routing.ts',
    find: 'arrive(state, edge.to, false, at, touched, skipped)',
    replace: 'edge.to',
  },
  {
    name: 'a stale attempt is accepted',
    file: 'decide.ts',
    find: '|| unit.attempt !== name.attempt',
    replace: '',
  },
  {
    name: 'the timer of a retry is forgotten',
    file: 'unit.ts',
    find: "if (activity.phase === 'backoff' || activity.phase === 'between') state.timers.set(unit.key, activity.at)",
    replace: '',
  },
  {
    name: 'attempts are reused',
    file: 'evolve.ts',
    find: 'unit.attempt = event.attempt + 1',
    replace: 'unit.attempt = event.attempt',
  },
  {
    name: 'else is taken beside another conditional edge',
    file: 'decide/settle.ts',
    find: 'if (conditionalTaken) refused.push(edge)',
    replace: 'if (refused.length < 0) refused.push(edge)',
  },
  {
    name: 'an unhandled failure does not stop the run',
    file: 'decide/settle.ts',
    find: 'if (!handled) stopForFailure(draft, node, error)\n}\n\nfunction failureRoute',
    replace: '}\n\nfunction failureRoute',
  },
  {
    name: 'recovery forgets the items of a forEach',
    file: 'unit.ts',
    find: 'if (step.items) yield* step.items.live.values()',
    replace: '',
  },
  {
    name: 'a resumed run is not published again',
    file: 'decide/command.ts',
    find: "emit(draft, { type: 'run.resumed', actor })\n  draft.resumed = true",
    replace: "emit(draft, { type: 'run.resumed', actor })",
  },
  {
    name: 'always handles a failure',
    file: 'decide/settle.ts',
    find: "edge.on.includes('failure') &&",
    replace: "(edge.on.includes('failure') || edge.on.includes('always')) &&",
  },
  {
    name: 'the last item of a forEach is not joined',
    file: 'decide/settle.ts',
    find: 'items.outputs.size + items.failed.size < items.count',
    replace: 'items.outputs.size + items.failed.size <= items.count',
  },
  {
    name: 'a step starts though a review holds it',
    file: 'routing.ts',
    find: "step.status !== 'pending' || holdsStart(state, step.id)",
    replace: "step.status !== 'pending'",
  },
  {
    name: 'a run completes over a patch under review',
    file: 'decide.ts',
    find: '&& state.live.size === 0 && state.reviews.size === 0',
    replace: '&& state.live.size === 0',
  },
  {
    name: 'what a review held is left behind',
    file: 'reweave.ts',
    find: 'event.actor ?? null, touched)\n  rejoin(state, event.at, touched)',
    replace: 'event.actor ?? null, touched)',
  },
  {
    name: 'edges that a review held are never decided',
    file: 'decide.ts',
    find: 'if (state.unrouted.size > 0)',
    replace: 'if (state.unrouted.size > 99)',
  },
  {
    name: 'the time for a review does not run out',
    file: 'decide/time.ts',
    find: '  expireReviews(draft)\n',
    replace: '',
  },
]

const WORLDS = 1500
const source = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'src')
// Beside the engine, so that the copies find its packages.
const copies = join(source, '..', '.mutants')

afterAll(() => rmSync(copies, { recursive: true, force: true }))

test.each(MUTANTS.map((mutant, index) => ({ ...mutant, index })))(
  '$name: caught',
  async ({ file, find, replace, index }) => {
    const copy = join(copies, String(index))
    mkdirSync(copy, { recursive: true })
    cpSync(source, join(copy, 'src'), { recursive: true })
    const path = join(copy, 'src', file)
    const text = readFileSync(path, 'utf8')
    expect(text.split(find).length, `the line of the mutation stands once in ${file}`).toBe(2)
    writeFileSync(
      path,
      text.replace(find, () => replace),
    )
    const mutated = (await import(
      /* @vite-ignore */ pathToFileURL(join(copy, 'src', 'index.ts')).href
    )) as Engine
    let caught: string | null = null
    for (let seed = 0; seed < WORLDS && caught === null; seed++) {
      try {
        playSeed(mutated, seed, newTally())
      } catch (error) {
        caught = error instanceof Error ? error.message : String(error)
      }
    }
    expect(caught, `within ${WORLDS} worlds`).not.toBeNull()
  },
)
