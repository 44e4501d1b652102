/** Messages by correlation between senders and runs: races of the two, kills, refusals. On real PostgreSQL. */
import { randomUUID } from 'node:crypto'
import type { JsonObject } from '@weft/engine'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { announce } from '../../src/correlation.ts'
import type { MessageRow } from '../../src/store/message-store.ts'
import { killAndTakeOver, type World, world } from './world.ts'

const waitsFor = (extra: JsonObject = {}): JsonObject => ({
  nodes: { w: { type: 'wait', with: { message: 'paid', ...extra } } },
})

async function keep(w: World, changes: Partial<MessageRow> = {}): Promise<MessageRow> {
  const at = w.clock.now()
  const { message } = await w.store.messages.keep({
    id: randomUUID(),
    workspace: 'default',
    name: 'paid',
    correlationKey: null,
    data: { amount: 12 },
    actor: 'ann',
    createdAt: at,
    expiresAt: at + 86_400_000,
    ...changes,
  })
  return message
}

const announced = (w: World, message: MessageRow) =>
  announce(
    { store: w.store, transport: w.transport, clock: w.clock, log: pino({ level: 'silent' }) },
    message,
  )

/** What the API does for `POST /messages`. */
const send = async (w: World, changes: Partial<MessageRow> = {}) => announced(w, await keep(w, changes))

/** Resolves once the run waits, and has looked at the kept messages. */
async function waiting(w: World, definition: JsonObject = waitsFor()): Promise<string> {
  const runId = await w.begin(definition)
  await w.event(runId, 'step.waiting')
  await w.coordinator.idle()
  return runId
}

/** The messages that its steps took. */
const taken = async (w: World, runId: string) =>
  (await w.events(runId)).flatMap((event) =>
    event.type === 'step.completed' && event.messageId !== undefined ? [event.messageId] : [],
  )

function gate(): { readonly passed: Promise<void>; open(): void } {
  let open: () => void = () => {}
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { passed, open }
}

describe('messages by correlation', () => {
  test('reach every open wait that fits, also two of one run, and no other', async () => {
    const w = await world()
    const both = await waiting(w, {
      nodes: {
        any: { type: 'wait', with: { message: 'paid' } },
        keyed: { type: 'wait', with: { message: 'paid', key: 'A-17' } },
        other: { type: 'wait', with: { message: 'paid', key: 'B-1' } },
      },
    })
    const rich = await waiting(w, waitsFor({ match: 'input.amount > 10' }))
    const poor = await waiting(w, waitsFor({ match: 'input.amount > 100' }))
    const runs = await send(w, { id: 'm1', correlationKey: 'A-17' })
    expect(new Set(runs)).toEqual(new Set([both, rich]))
    await w.event(rich, 'run.completed')
    await w.event(both, 'step.completed', 'keyed')
    expect(await taken(w, both)).toEqual(['m1', 'm1'])
    expect(await w.row(both)).toMatchObject({ status: 'waiting', waitingFor: ['message'] })
    expect(await w.status(poor)).toBe('waiting')
  })

  test('are kept for the first wait that opens, oldest first, each for one', async () => {
    const w = await world()
    expect(await send(w, { id: 'm1', data: 1 })).toEqual([])
    w.clock.advance(1)
    expect(await send(w, { id: 'm2', data: 2 })).toEqual([])
    for (const id of ['m1', 'm2']) {
      const runId = await w.begin(waitsFor())
      await w.event(runId, 'run.completed')
      expect(await taken(w, runId)).toEqual([id])
    }
    expect(await w.status(await waiting(w))).toBe('waiting')
  })

  test('a wait passes by the messages that its condition does not want, however many are older', async () => {
    const w = await world()
    for (let amount = 0; amount < 25; amount++) await send(w, { id: `m${amount}`, data: { amount } })
    const large = { amount: 99, text: 'x'.repeat(40_000) }
    const bytes = new TextEncoder().encode(JSON.stringify(large))
    const put = { workspace: 'default', bytes, contentType: 'application/json', at: w.clock.now() }
    w.clock.advance(1)
    await send(w, { id: 'large', data: { ...(await w.store.blobs.put(put)) } })
    const runId = await w.begin(waitsFor({ match: 'input.amount > 50' }))
    await w.event(runId, 'run.completed')
    expect(await taken(w, runId)).toEqual(['large'])
  })

  test('an expired one is taken by nobody', async () => {
    const w = await world()
    await send(w, { expiresAt: w.clock.now() + 1_000 })
    w.clock.advance(1_001)
    expect(await w.status(await waiting(w))).toBe('waiting')
  })

  test('a wait that is opened again by a retry looks again', async () => {
    const w = await world()
    const runId = await waiting(w)
    await w.command(runId, { kind: 'cancel' })
    await w.event(runId, 'run.cancelled')
    expect(await send(w, { id: 'm1' })).toEqual([])
    await w.command(runId, { kind: 'retry' })
    await w.event(runId, 'run.completed')
    expect(await taken(w, runId)).toEqual(['m1'])
  })

  test('one that is kept while a run is paused in its wait is taken when the run is resumed', async () => {
    const w = await world()
    const runId = await w.begin({
      nodes: {
        a: { type: 'act', with: { message: 'a' } },
        w: { type: 'wait', needs: 'a', with: { message: 'paid' } },
      },
    })
    const [a] = await w.take()
    await w.command(runId, { kind: 'pause' })
    await send(w, { id: 'm1' })
    await w.complete(a!)
    await w.coordinator.idle()
    await w.command(runId, { kind: 'resume' })
    await w.event(runId, 'run.completed')
    expect(await taken(w, runId)).toEqual(['m1'])
  })
})

describe('a sender and a wait at the same time', () => {
  test('the message is committed, and looks, before the wait is committed', async () => {
    const appending = gate()
    const release = gate()
    const w = await world({
      hook: {
        async before(batch) {
          if (!batch.some(({ waitsOpened }) => waitsOpened.length > 0)) return
          appending.open()
          await release.passed
        },
      },
    })
    const runId = await w.begin(waitsFor())
    await appending.passed
    expect(await send(w, { id: 'm1' })).toEqual([])
    release.open()
    await w.event(runId, 'run.completed')
    expect(await taken(w, runId)).toEqual(['m1'])
  })

  test('the wait is committed, and looks, before the message is committed', async () => {
    const w = await world()
    const runId = await waiting(w)
    expect(await send(w, { id: 'm1' })).toEqual([runId])
    await w.event(runId, 'run.completed')
  })

  test('a wait that looks before the sender does leaves nobody out who waited too', async () => {
    const w = await world()
    const first = await waiting(w)
    const { messages } = w.store
    const { keptFor } = messages
    const looking = gate()
    const release = gate()
    messages.keptFor = async (request) => {
      looking.open()
      await release.passed
      return keptFor(request)
    }
    const second = await w.begin(waitsFor())
    await looking.passed
    const message = await keep(w, { id: 'm1' })
    release.open()
    for (const runId of [first, second]) await w.event(runId, 'run.completed')
    expect([await taken(w, first), await taken(w, second)]).toEqual([['m1'], ['m1']])
    expect(new Set(await announced(w, message))).toEqual(new Set([first, second]))
  })

  test('both are committed before either looks: it goes once, whoever is first', async () => {
    const w = await world()
    const { messages } = w.store
    const { keptFor, waits } = messages
    for (let round = 0; round < 10; round++) {
      const looking = gate()
      const release = gate()
      messages.keptFor = async (request) => {
        looking.open()
        await release.passed
        return keptFor(request)
      }
      messages.waits = async (request) => {
        const found = await waits(request)
        release.open()
        return found
      }
      const runId = await w.begin(waitsFor())
      await looking.passed
      const id = `m${round}`
      expect(await send(w, { id })).toEqual([runId])
      await w.event(runId, 'run.completed')
      await w.coordinator.idle()
      expect(await taken(w, runId)).toEqual([id])
      const command = { kind: 'pause' } as const
      // Nothing came to its inbox a second time.
      expect(await w.command(runId, command)).toMatchObject({ code: 'run_finished' })
    }
  })

  test('a hundred senders and a hundred runs at once: each message is taken by one run', async () => {
    const w = await world()
    const count = 100
    const keyed = waitsFor({ key: '${{ input }}' })
    const runs: string[] = []
    await Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const key = `k${index % 10}`
        const id = `m${index}`
        const begins = async () => void runs.push(await w.begin(keyed, key))
        if (index % 2 === 0) await Promise.all([send(w, { id, correlationKey: key }), begins()])
        else await begins().then(() => send(w, { id, correlationKey: key }))
      }),
    )
    // What was refused by a run that had another one already is held against the waits again.
    for (let round = 0; round < 3; round++) await w.pass(6_000)
    // A message goes to every run that waits then, so some runs may be left without one; none may be left beside one.
    const kept = await w.store.messages.list({ workspace: 'default', limit: 500 })
    const keysKept = new Set(kept.items.map(({ correlationKey }) => correlationKey))
    const takers = new Map<string, number>()
    for (const runId of runs) {
      const row = await w.row(runId)
      if (row.status === 'waiting') expect(keysKept.has(row.input as string)).toBe(false)
      for (const id of await taken(w, runId)) takers.set(id, (takers.get(id) ?? 0) + 1)
    }
    expect(takers.size + kept.items.length).toBe(count)
  })
})

describe('messages and kills', () => {
  test('sent while nobody is there to decide: the next process finds it in the inbox', async () => {
    const killed = await world()
    const runId = await waiting(killed)
    killed.isDead = true
    expect(await send(killed, { id: 'm1' })).toEqual([runId])
    const w = await killAndTakeOver(killed)
    await w.event(runId, 'run.completed')
    expect(await taken(w, runId)).toEqual(['m1'])
  })

  test('the process dies between the commit of a wait and its look: the next one looks', async () => {
    const killed = await world()
    await send(killed, { id: 'm1' })
    const { keptFor } = killed.store.messages
    const looking = gate()
    killed.store.messages.keptFor = () => {
      looking.open()
      return new Promise(() => {})
    }
    const runId = await killed.begin(waitsFor())
    await looking.passed
    expect(await killed.row(runId)).toMatchObject({ status: 'waiting', wakeAt: null })
    killed.store.messages.keptFor = keptFor
    const w = await killAndTakeOver(killed)
    await w.event(runId, 'run.completed')
    expect(await taken(w, runId)).toEqual(['m1'])
  })

  test('the sender dies between its commit and its look: the sweep looks', async () => {
    const w = await world()
    const runId = await waiting(w)
    await keep(w, { id: 'm1' })
    await w.pass(4_000)
    expect(await w.status(runId)).toBe('waiting')
    await w.pass(2_000)
    await w.event(runId, 'run.completed')
    expect(await taken(w, runId)).toEqual(['m1'])
  })

  test('the run is killed between the verdict and its news: the message is not taken twice', async () => {
    const died = gate()
    const killed = await world({
      hook: {
        async after(batch) {
          if (!batch.some(({ verdicts }) => verdicts.length > 0)) return
          died.open()
          await new Promise(() => {})
        },
      },
    })
    const runId = await waiting(killed)
    await send(killed, { id: 'm1' })
    await died.passed
    const w = await killAndTakeOver(killed)
    await w.coordinator.idle()
    expect(await w.status(runId)).toBe('completed')
    expect(await taken(w, runId)).toEqual(['m1'])
  })

  test('refused by a run whose wait has ended, it goes to one that waits by now', async () => {
    const w = await world()
    const first = await waiting(w)
    // The cancel stands before the message in the inbox, and nobody has looked at either.
    const cancel = { id: 'cancel', runId: first, actor: 'ann', command: { kind: 'cancel' } as const }
    await w.store.inbox.insert({ ...cancel, workspace: 'default' })
    const message = await keep(w, { id: 'm1' })
    const to = [{ runId: first, waitIds: [`${first}.1`] }]
    await w.store.messages.give({ workspace: 'default', id: message.id, to })
    const second = await waiting(w)
    await w.transport.signals.send([{ runId: first, signal: { kind: 'look' } }])
    await w.event(first, 'run.cancelled')
    expect(await w.status(second)).toBe('waiting')
    await w.pass(6_000)
    await w.event(second, 'run.completed')
    expect(await taken(w, second)).toEqual(['m1'])
  })
})
