/** What the run's own state cannot know about why it is not moving, in sentences that say what to do. */
import { type Explanation, outstanding, type RunState } from '@weft/engine'
import { RESUME_ADVICE } from '../../hold.ts'
import type { RunRow } from '../../store/store.ts'
import { isFinishedRow } from '../outcome.ts'
import type { HandlerParts } from '../parts.ts'

export async function hintsFor(
  parts: Pick<HandlerParts, 'nodeTypes' | 'store' | 'clock'>,
  row: RunRow,
  state: RunState,
  tokens: readonly Explanation[],
): Promise<string[]> {
  const hints: string[] = []
  if (row.stuckReason !== null) {
    hints.push(
      `The run is in quarantine, because working on it failed: ${row.stuckReason} Nothing moves it until \`weft recover ${row.id}\` (POST /runs/${row.id}/recover) lets it try again.`,
    )
  }
  const held = isFinishedRow(row) ? [] : await parts.store.holds.list()
  if (held.length > 0) {
    hints.push(
      `Nothing is dispatched by ${held.map(({ name }) => name).join(', ')}, started with WEFT_START_PAUSED: ${RESUME_ADVICE}.`,
    )
  }
  if (row.status === 'failed' && row.error !== null) {
    const goOn =
      row.parent === null
        ? `\`weft runs retry ${row.id}\` (POST /runs/${row.id}/retry) goes on from there, once the cause is mended; a patch may mend it in the run itself.`
        : `Its parent ${row.parent.runId} has taken this result; retry the parent, and it retries this run.`
    hints.push(`It failed with ${row.error.code}: ${sentence(row.error.message)} ${goOn}`)
    const started = await onFailureHint(parts, row, state)
    if (started !== null) hints.push(started)
  }
  const wanted = new Set(tokens.filter((token) => token.waitsFor === 'worker').map((token) => token.type))
  if (wanted.size === 0) return hints
  const served = await parts.nodeTypes.served()
  for (const type of wanted) {
    if (type === null || served.has(type)) continue
    hints.push(
      `No live worker serves the node type \`${type}\`: its attempts stay queued until one does. Start a worker that has it (WEFT_NODES, or a program that claims it with POST /tasks/claim), or cancel the run.`,
    )
  }
  return hints
}

async function onFailureHint(
  { store, clock }: Pick<HandlerParts, 'store' | 'clock'>,
  { workspace }: RunRow,
  state: RunState,
): Promise<string | null> {
  const owed = outstanding(state, clock.now()).find((effect) => effect.kind === 'on_failure')
  if (!owed) return null
  const { runId, workflow } = owed
  if (await store.runs.get({ workspace, id: runId }))
    return `Its failure started run ${runId} of \`${workflow}\`.`
  if (await store.workflows.get({ workspace, reference: workflow }))
    return `Its failure has not started \`${workflow}\` yet. If that lasts, the input schema of \`${workflow}\` refuses what a failed run gives it ({ run, error, steps }); the server’s log says so.`
  return `Its failure started nothing: \`onFailure\` names \`${workflow}\`, and this workspace has no such workflow. Push it; the next failure starts it.`
}

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`)
