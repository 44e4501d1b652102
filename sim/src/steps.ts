/**
 * What steps do in a world. How a step ends depends on its name alone, so that it does not matter who performs it and
 * when; how long it takes is drawn.
 */
import type { NodeTypeInfo } from '@weft/engine'
import { TASK_TYPES } from '../../engine/test/world/generate.ts'
import { fateOf, type Random } from '../../engine/test/world/random.ts'
import { Violation } from '../../engine/test/world/violation.ts'
import { NodeError } from '../../server/src/nodes/errors.ts'
import type { NodeContext, NodeResult, NodeType } from '../../server/src/nodes/node-type.ts'
import type { WorkerParts } from '../../server/src/worker/worker.ts'
import type { Checks } from './checks.ts'
import type { SimProcess } from './process.ts'

export interface StepsParts {
  readonly checks: Checks
  readonly random: Random
  readonly fail: (error: unknown) => void
  /** Told that an act began which cannot be undone. */
  readonly began: (process: SimProcess) => void
  /** What `once` answered, by run, step and round. */
  readonly once: Map<string, number>
}

const BIG_TEXT = 'x'.repeat(40_000)

export function stepTypes(parts: StepsParts, process: SimProcess): WorkerParts['registry'] {
  const types = new Map(TASK_TYPES.map((info) => [info.type, stepType(parts, process, info)]))
  return { get: (type) => types.get(type), names: () => [...types.keys()], onChange: () => () => {} }
}

function stepType(parts: StepsParts, process: SimProcess, info: NodeTypeInfo): NodeType {
  return {
    info,
    timedOut: { code: 'timeout', retryable: true, advice: '' },
    parse: (config) => ({ ok: true, config }),
    async run(_config, context) {
      parts.checks.called(context, process.hasStoodStill)
      if (info.effect === 'irreversible') parts.began(process)
      await new Promise<void>((resolve) => process.clock.after(duration(parts.random), resolve))
      if (context.abortSignal.aborted) throw context.abortSignal.reason
      const { runId, stepKey, round, attempt } = context
      if (fateOf(`once/${stepKey}/${round}`, 100) < 15) await remember(parts, context)
      const fate = fateOf(`${stepKey}/${round}/${attempt}`, 100)
      if (fate < 12) throw new NodeError('http_status', '503', { retryable: true })
      if (fate < 15) throw new NodeError('http_status', '404', { retryable: false })
      return resultOf(runId, stepKey, round)
    },
  }
}

function duration(random: Random): number {
  const dice = random.int(100)
  if (dice < 70) return random.int(50)
  return dice < 97 ? random.int(2_000) : random.int(40_000)
}

/** The first value of `once` is the value for ever (R7). */
async function remember({ once, random, fail }: StepsParts, context: NodeContext): Promise<void> {
  const value = await context.once('act', async () => random.int(1_000_000))
  const name = context.idempotencyKey
  const known = once.get(name)
  once.set(name, value)
  if (known !== undefined && known !== value)
    fail(new Violation(`R7: \`once\` of ${name} answered ${known}, and later ${value}`))
}

function resultOf(runId: string, key: string, round: number): NodeResult {
  const v = fateOf(`${key}/${round}`, 100)
  const isBig = fateOf(`big/${runId}/${key}/${round}`, 100) < 3
  return { output: isBig ? { v, text: BIG_TEXT } : { v } }
}
