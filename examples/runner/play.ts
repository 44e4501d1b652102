/** Performs an example on a running Weft against a running service, and tells what was seen. */
import { setTimeout as pause } from 'node:timers/promises'
import type { RunEvent } from '@weft/engine'
import type { Client } from '../../server/src/cli/client.ts'
import { CliError, EXIT } from '../../server/src/cli/exit.ts'
import type { Observed } from './compare.ts'
import type { Action, Example, Expected } from './example.ts'
import { isFinished, type RunDetail } from './run-detail.ts'
import type { ServiceProcess } from './service-process.ts'

/** An example that is not over after this hangs, and its run is told about. */
const LIMIT_MS = 45_000
const LOOK_EVERY_MS = 40

export async function play(example: Example, weft: Client, service: ServiceProcess): Promise<Observed> {
  for (const source of example.workflows) await weft.call('POST', '/api/v1/workflows', { body: { source } })
  const callsBefore = (await service.ledger()).at(-1)?.n ?? 0
  const messagesBefore = (await service.slackMessages()).length

  const input = { service: service.url, ...example.input }
  const { id } = await weft.call<{ id: string }>('POST', '/api/v1/runs', {
    body: { source: example.source, input },
  })
  const run = await follow(id, weft, example)
  const children = await childrenOf(run, weft)

  const calls = (await service.ledger()).filter(
    ({ n, path }) => n > callsBefore && path !== '/slack/messages',
  )
  const messages = (await service.slackMessages()).slice(messagesBefore)
  return {
    status: run.status,
    output: run.output,
    error: run.error?.code ?? null,
    steps: byId(run, ({ status }) => status),
    attempts: byId(run, ({ attempts }) => attempts),
    labels: byId(run, ({ label }) => label ?? ''),
    children: Object.fromEntries(
      children.map(([key, child]) => [
        key,
        { status: child.status, steps: byId(child, ({ status }) => status) },
      ]),
    ),
    requests: calls.map(({ method, path }) => ({ method, path })),
    slack: messages.map(({ text }) => text),
  }
}

/** What the example expects of this service: its nonce in the place of `$nonce`. */
export function expectedWith(nonce: string, expected: Expected): Expected {
  return JSON.parse(JSON.stringify(expected).replaceAll('$nonce', nonce))
}

/** Until the run has ended, or waits for somebody and there is nothing left to do for it. */
async function follow(id: string, weft: Client, { expected, patches }: Example): Promise<RunDetail> {
  const left = [...(expected.actions ?? [])]
  const deadline = performance.now() + LIMIT_MS
  for (;;) {
    const run = await weft.call<RunDetail>('GET', `/api/v1/runs/${id}`)
    if (isFinished(run)) return run
    const next = left.findIndex(({ when }) =>
      run.steps.some(
        ({ id: step, status, waitsFor }) =>
          step === when &&
          status === 'waiting' &&
          waitsFor.some((kind) => kind === 'approval' || kind === 'message'),
      ),
    )
    const [action] = next < 0 ? [] : left.splice(next, 1)
    if (action?.patch !== undefined) await sendPatch(run.id, action.patch, patches, weft)
    else if (action !== undefined) await perform(action, run, weft)
    else if (waitsForSomebody(run)) return run
    else if (performance.now() > deadline) {
      const why = await weft.call<{ tokens: { token: string; text: string }[] }>(
        'GET',
        `/api/v1/runs/${id}/why`,
      )
      const tokens = why.tokens.map(({ token, text }) => `  ${token}: ${text}`).join('\n')
      throw new Error(`run ${id} is still ${run.status} after ${LIMIT_MS} ms:\n${tokens}`)
    } else await pause(LOOK_EVERY_MS)
  }
}

const waitsForSomebody = ({ status, waitingFor }: RunDetail): boolean =>
  status === 'waiting' && waitingFor.every((kind) => kind === 'approval' || kind === 'message')

async function perform(action: Action, run: RunDetail, weft: Client): Promise<void> {
  if (action.send !== undefined)
    await weft.call('POST', `/api/v1/runs/${run.id}/messages`, { body: action.send })
  if (action.decide === undefined) return
  const { items } = await weft.call<{ items: { id: string; key: string }[] }>('GET', '/api/v1/approvals', {
    query: { runId: run.id, status: 'open' },
  })
  const approval = items.find(({ key }) => key === action.when)
  if (approval === undefined)
    throw new Error(`run ${run.id} waits at ${action.when}, but no open approval is listed`)
  await weft.call('POST', `/api/v1/approvals/${approval.id}/decide`, { body: action.decide })
}

/** A patch that is refused leaves the run as it is, which the comparison then shows. */
async function sendPatch(
  runId: string,
  { file, reason, review }: NonNullable<Action['patch']>,
  patches: Example['patches'],
  weft: Client,
): Promise<void> {
  const told = await weft
    .call<{ detail?: { review?: string } }>('POST', `/api/v1/runs/${runId}/patches`, {
      body: { operations: patches[file], reason },
    })
    .catch((error: unknown) => {
      if (error instanceof CliError && error.exitCode === EXIT.refused) return null
      throw error
    })
  if (told?.detail?.review !== undefined)
    await weft.call('POST', `/api/v1/approvals/${told.detail.review}/decide`, { body: { decision: review } })
}

/** The children of the run with the key of the step or item that started each. */
async function childrenOf(run: RunDetail, weft: Client): Promise<[string, RunDetail][]> {
  const { items } = await weft.call<{ items: { id: string }[] }>('GET', '/api/v1/runs', {
    query: { parentId: run.id, limit: 500 },
  })
  if (items.length === 0) return []
  const keys = new Map<string, string>()
  for (const event of await logOf(run.id, weft)) {
    if (event.type === 'step.waiting' && event.wait.kind === 'child') keys.set(event.wait.childId, event.key)
  }
  return Promise.all(
    items.map(
      async ({ id }): Promise<[string, RunDetail]> => [
        keys.get(id) ?? id,
        await weft.call<RunDetail>('GET', `/api/v1/runs/${id}`),
      ],
    ),
  )
}

async function logOf(id: string, weft: Client): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for (let after: string | null = '0'; after !== null; ) {
    const page: { items: RunEvent[]; nextCursor: string | null } = await weft.call(
      'GET',
      `/api/v1/runs/${id}/events`,
      { query: { after, limit: 1000 } },
    )
    events.push(...page.items)
    after = page.nextCursor
  }
  return events
}

const byId = <Value>(
  { steps }: RunDetail,
  pick: (step: RunDetail['steps'][number]) => Value,
): Record<string, Value> => Object.fromEntries(steps.map((step) => [step.id, pick(step)]))
