/**
 * Second act: Weft and its PostgreSQL are killed without a word while attempts are in flight, and started again.
 *
 * The figures come from outside: the service kept a ledger of every call, and it was not killed.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { RunEvent } from '@weft/engine'
import type { LedgerEntry } from '../service/ledger.ts'
import type { Cast } from './cast.ts'
import { follow } from './follow.ts'

const LOOK_EVERY_MS = 20
/** Killed when so many items are done: in the middle of it. */
const ITEMS_DONE = 20
const ATTEMPTS_IN_FLIGHT = 5

export async function killAct({ weft, service, paper }: Cast): Promise<void> {
  paper.heading(
    '2 · Pull the plug',
    'Sixty calls, twelve at a time. In the middle of it SIGKILL for Weft and for its PostgreSQL, and a new start.',
  )
  const source = readFileSync(join(import.meta.dirname, 'batch.yaml'), 'utf8')
  const { id } = await weft.client.call<{ id: string }>('POST', '/api/v1/runs', {
    body: { source, input: { service: service.url } },
  })
  const following = await follow(id, weft.client, paper)

  while (
    !isRipe(following.view()?.steps.find((step) => step.id === 'pick')?.items, await service.ledger(id))
  ) {
    await pause(LOOK_EVERY_MS)
  }
  const victims = [
    `Weft (pid ${weft.pid})`,
    ...(weft.postgresPid ? [`PostgreSQL (pid ${weft.postgresPid})`] : []),
  ]
  const killedAt = Date.now()
  await weft.kill(true)
  following.note(paper.paint('red', `✂ SIGKILL for ${victims.join(' and ')}. Starting again …`))
  // Whom the engine had called and whose answer never got out: the caller was gone.
  const cutOff = (await service.ledger(id)).filter(({ answeredAt }) => answeredAt === null)

  await weft.start()
  const firstCall = await firstCallAfter(killedAt, () => service.ledger(id))
  const backMs = firstCall.startedAt - killedAt
  following.note(paper.paint('green', `↻ back ${seconds(backMs)} after the kill; the run goes on`))
  const run = await following.finished

  const ledger = await service.ledger(id)
  const repeated = callsAfterCompletion(await eventsOf(id, weft.client), ledger)
  const { paint } = paper
  paper.line(
    `killed with ${paint('bold', `${cutOff.length} attempts in flight`)}, back in ${paint('bold', seconds(backMs))},`,
  )
  paper.line(`finished steps called again: ${paint('bold', String(repeated))}`)
  paper.paragraph(
    `The run is ${run.status}. The service counted ${ledger.length} calls: ${ledger.length - cutOff.length} that it answered, ` +
      `and ${cutOff.length} whose answer nobody was left to take, which were made again.`,
    'dim',
  )
}

const isRipe = (items: { completed: number } | null | undefined, ledger: readonly LedgerEntry[]): boolean =>
  (items?.completed ?? 0) >= ITEMS_DONE &&
  ledger.filter(({ answeredAt }) => answeredAt === null).length >= ATTEMPTS_IN_FLIGHT

async function firstCallAfter(at: number, read: () => Promise<LedgerEntry[]>): Promise<LedgerEntry> {
  for (;;) {
    const call = (await read()).find(({ startedAt }) => startedAt > at)
    if (call !== undefined) return call
    await pause(LOOK_EVERY_MS)
  }
}

/** Calls for a step, or an item of one, that began after the log says that it was completed. */
function callsAfterCompletion(events: readonly RunEvent[], ledger: readonly LedgerEntry[]): number {
  const completedAt = new Map<string, number>()
  for (const event of events) if (event.type === 'step.completed') completedAt.set(event.key, event.at)
  return ledger.filter(
    ({ step, startedAt }) => startedAt > (completedAt.get(step ?? '') ?? Number.POSITIVE_INFINITY),
  ).length
}

async function eventsOf(id: string, weft: Cast['weft']['client']): Promise<RunEvent[]> {
  const { items } = await weft.call<{ items: RunEvent[] }>('GET', `/api/v1/runs/${id}/events`, {
    query: { limit: 1000 },
  })
  return items
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
