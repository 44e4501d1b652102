/**
 * Twenty questions in a `forEach` inside a child run are answered by two people, one with the API, one with the command
 * line, while the process is killed three times between an answer and what follows from it.
 */

import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort, newApiKey, newDataDirectory, removeDataDirectory, WeftProcess } from '../weft-process.ts'
import { weft } from '../weft-program.ts'

const COUNT = 20
const DEFINITION = {
  weft: 1,
  name: 'reviews',
  nodes: {
    review: {
      type: 'workflow',
      with: {
        nodes: {
          ask: {
            type: 'approval',
            forEach: 'input.items',
            with: { title: 'Release item ${{ index }}?' },
          },
          note: {
            type: 'log',
            needs: { ask: 'always' },
            with: { message: '${{ size(steps.ask.output) }} answers' },
          },
        },
        output: '${{ steps.ask.output }}',
      },
    },
    after: { type: 'log', needs: 'review', with: { message: 'all ${{ size(steps.review.output) }}' } },
  },
  output: '${{ steps.review.output }}',
}

interface Approval {
  readonly id: string
  readonly runId: string
  readonly key: string
}

interface Answer {
  readonly status: number
  readonly body: { readonly code?: string; readonly details?: { readonly by?: string } }
}

let server: WeftProcess
/** Of each person, by the means that they use. */
const keys = { api: '', cli: '' }
const names = { api: 'ann', cli: 'bob' }
type Means = keyof typeof keys

beforeAll(async () => {
  server = new WeftProcess({
    dataDirectory: newDataDirectory('decisions'),
    port: await freePort(),
    apiKey: newApiKey(),
  })
  await server.start()
  for (const means of ['api', 'cli'] as const) {
    const { body } = await call('POST', '/keys', { name: names[means], role: 'operator' })
    keys[means] = (body as { key: string }).key
  }
})

afterAll(async () => {
  await server.stop()
  await removeDataDirectory(server.dataDirectory)
})

/** One request; rejects when the server goes away before it has answered. */
async function call(
  method: string,
  path: string,
  body?: unknown,
  key = server.apiKey,
  idempotencyKey?: string,
) {
  const response = await fetch(`${server.url}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
    },
    body: body === undefined ? null : JSON.stringify(body),
  })
  return { status: response.status, body: (await response.json()) as never }
}

const dataOf = (item: number, means: Means) => ({ item, by: names[means] })

async function decideByApi(approval: Approval, item: number): Promise<Answer> {
  const body = { decision: 'approve', data: dataOf(item, 'api') }
  return call('POST', `/approvals/${approval.id}/decide`, body, keys.api, `decision of ${item}`)
}

/** The exit code: 0 decided, 5 no answer, 6 refused. */
async function decideByCli(approval: Approval, item: number) {
  const args = ['approve', approval.id, '--data', JSON.stringify(dataOf(item, 'cli'))]
  return weft(args, server.dataDirectory, { WEFT_URL: server.url, WEFT_API_KEY: keys.cli })
}

async function connected(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: server.databaseUrl })
  // The second kill takes PostgreSQL along.
  client.on('error', () => {})
  await client.connect()
  return client
}

async function count(client: pg.Client, condition: string): Promise<number> {
  const { rows } = await client.query(
    `select count(*)::int as count from run_inbox where kind = 'decide' and ${condition}`,
  )
  return rows[0].count
}

/** Items of the list, with who decides them: in turns. */
const turns = (approvals: readonly Approval[], from: number, to: number) =>
  approvals.slice(from, to).map((approval, index) => ({
    approval,
    item: from + index,
    means: (index % 2 === 0 ? 'api' : 'cli') as Means,
  }))

type Turn = ReturnType<typeof turns>[number]

/** True when it was answered as decided, and not as stored or not at all. */
async function decide({ approval, item, means }: Turn): Promise<boolean> {
  if (means === 'cli') {
    const { code, out } = await decideByCli(approval, item)
    expect([0, 5]).toContain(code)
    return out.startsWith('approved')
  }
  const answer = await decideByApi(approval, item).catch(() => null)
  if (answer !== null) expect([200, 202]).toContain(answer.status)
  return answer?.status === 200
}

/** Whoever got no answer asks again: it counts, or has counted already, and then it was theirs. */
async function decideAgain({ approval, item, means }: Turn): Promise<void> {
  if (means === 'api') {
    expect((await decideByApi(approval, item)).status).toBe(200)
    return
  }
  const { code, err } = await decideByCli(approval, item)
  if (code !== 0) expect([code, err]).toEqual([6, expect.stringContaining(names.cli)])
}

test('each answered decision counts once and none is lost, over three kills', async () => {
  const submitted = await call('POST', '/runs', {
    definition: DEFINITION,
    input: { items: [...Array(COUNT).keys()] },
  })
  const { id } = submitted.body as { id: string }
  const approvals = await openApprovals()
  const unanswered: number[] = []

  // Twice the owner cannot write its events, so that what was decided is durable and nothing has followed from it when
  // the process dies; the second time PostgreSQL dies too, and with it the statement that waited.
  for (const [round, withPostgres] of [false, true].entries()) {
    const batch = turns(approvals, round * 6, round * 6 + 6)
    const database = await connected()
    const before = await count(database, 'true')
    await database.query('begin')
    await database.query('lock table run_events in share row exclusive mode')
    const deciding = Promise.all(batch.map(async (turn) => [turn, await decide(turn)] as const))
    while ((await count(database, 'true')) < before + batch.length);
    expect(await count(database, 'verdict is null')).toBe(batch.length)
    await server.kill(withPostgres)
    const outcomes = await deciding
    expect(outcomes.map(([, wasAnswered]) => wasAnswered)).toEqual(batch.map(() => false))
    await database.end().catch(() => {})
    await server.start()
    await Promise.all(outcomes.map(([turn]) => decideAgain(turn)))
    unanswered.push(batch.length)
  }

  // The third time it dies at the first answer, while the others are on their way.
  const batch = turns(approvals, 12, 18)
  const deciding = batch.map(async (turn) => [turn, await decide(turn)] as const)
  await Promise.race(deciding)
  await server.kill(false)
  const outcomes = await Promise.all(deciding)
  await server.start()
  const again = outcomes.filter(([, wasAnswered]) => !wasAnswered)
  await Promise.all(again.map(([turn]) => decideAgain(turn)))
  unanswered.push(again.length)
  expect(again.length).toBeLessThan(batch.length)

  // Two people at once: one decides, the other is told who did.
  for (const turn of turns(approvals, 18, COUNT)) {
    const [byApi, byCli] = await Promise.all([
      decideByApi(turn.approval, turn.item),
      decideByCli(turn.approval, turn.item),
    ])
    if (byApi.status === 200) expect([byCli.code, byCli.err]).toEqual([6, expect.stringContaining(names.api)])
    else {
      expect(byCli.code).toBe(0)
      expect([byApi.status, byApi.body.code, byApi.body.details?.by]).toEqual([
        409,
        'already_decided',
        expect.stringContaining(names.cli),
      ])
    }
  }

  const ended = await ending(id)
  expect(ended.status).toBe('completed')
  expect(ended.output.map(({ item }) => item)).toEqual([...Array(COUNT).keys()])
  for (const { item, means } of turns(approvals, 0, 18))
    expect(ended.output[item]).toEqual(dataOf(item, means))
  expect(ended.output.filter(({ by }) => by === names.api).length).toBeGreaterThanOrEqual(9)
  console.log(`without an answer at the kills: ${unanswered.join(', ')} of 6 each`)

  const database = await connected()
  try {
    const { rows } = await database.query(
      `select step_key as key, count(*)::int as count from run_events
       where run_id = $1 and type = 'step.completed' and step_key like 'ask[%' group by step_key`,
      [approvals[0]?.runId],
    )
    expect(rows.map(({ count }) => count)).toEqual(Array(COUNT).fill(1))
    expect(await count(database, 'verdict is null')).toBe(0)
    expect(await count(database, `(verdict ->> 'accepted')::boolean`)).toBe(COUNT)
  } finally {
    await database.end()
  }

  // Long after, too, whoever decides is told by whom it was decided.
  const [first] = approvals as [Approval]
  const late = await call('POST', `/approvals/${first.id}/decide`, { decision: 'reject' })
  expect(late).toMatchObject({
    status: 409,
    body: {
      code: 'already_decided',
      details: { outcome: 'approved', by: expect.stringContaining(names.api) },
    },
  })
  const lateByCli = await decideByCli(first, 0)
  expect([lateByCli.code, lateByCli.err]).toEqual([6, expect.stringContaining(names.api)])
})

async function openApprovals(): Promise<Approval[]> {
  for (;;) {
    const { items } = (await call('GET', `/approvals?status=open&limit=${COUNT}`)).body as {
      items: Approval[]
    }
    if (items.length === COUNT) return items.toSorted((a, b) => indexOf(a) - indexOf(b))
  }
}

const indexOf = ({ key }: Approval): number => Number(/\[(\d+)\]/.exec(key)?.[1])

async function ending(id: string) {
  for (;;) {
    const run = (await call('GET', `/runs/${id}`)).body as {
      status: string
      output: { item: number; by: string }[]
    }
    if (['completed', 'failed', 'cancelled'].includes(run.status)) return run
  }
}
