/** Messages by correlation: kept until somebody waits, given once, kept again when nobody takes them. */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { MessageRow } from '../../src/store/message-store.ts'
import type { NewRun, OwnerSession, RunStore } from '../../src/store/store.ts'
import {
  appendOf,
  EVERY_PARTITION,
  finishedRun,
  newRun,
  type Opened,
  type RunChanges,
  START_MS,
  whileOwning,
} from './store-fixture.ts'

const HOUR_MS = 3_600_000

type Message = Omit<MessageRow, 'runs' | 'offers' | 'isAnnounced'>

function newMessage(changes: Partial<Message> = {}): Message {
  const at = Date.now()
  return {
    id: randomUUID(),
    workspace: 'default',
    name: `paid-${randomUUID()}`,
    correlationKey: null,
    data: { amount: 12 },
    actor: 'ann',
    createdAt: at,
    expiresAt: at + HOUR_MS,
    ...changes,
  }
}

const waitIdOf = (run: NewRun): string => `${run.id}.1`

/** A run that waits for this message; `closed` when its wait is over. */
async function waiting(
  store: RunStore,
  session: OwnerSession,
  { name, correlationKey }: Message,
  changes: RunChanges & { key?: string } = {},
): Promise<NewRun> {
  const { key = correlationKey, ...run } = changes
  const begun = newRun(run)
  await store.runs.begin(begun)
  const wait = { kind: 'message' as const, name, ...(key === null ? {} : { correlationKey: key }) }
  const opened = { waitId: waitIdOf(begun), key: 'w', wait, wakeAt: null, at: START_MS }
  await session.append([appendOf(begun, { waitsOpened: [opened], wakeAt: null })])
  return begun
}

const to = (...runs: NewRun[]) => runs.map((run) => ({ runId: run.id, waitIds: [waitIdOf(run)] }))

async function refuse(session: OwnerSession, run: NewRun, message: Message, firstSeq = 3): Promise<void> {
  const [row] = (await session.inbox([run.id])).get(run.id) ?? []
  if (!row) throw new Error('nothing is in its inbox')
  const verdict = { accepted: false as const, code: 'wait_closed', message: 'Too late.' }
  const commandId = row.id
  const messagesRefused = [{ commandId, messageId: message.id }]
  await session.append([
    appendOf(run, { firstSeq, events: [], verdicts: [{ commandId, verdict }], messagesRefused }),
  ])
}

export function messageCases(opened: Opened): void {
  describe('messages', () => {
    it('keeps a message once, whoever repeats it, and shows it until somebody has it', async () => {
      const { store } = opened()
      const message = newMessage({ correlationKey: 'A-17' })
      expect(await store.messages.keep(message)).toEqual({
        kind: 'kept',
        message: { ...message, runs: [], offers: 0, isAnnounced: false },
      })
      const again = await store.messages.keep({ ...message, data: 'other' })
      expect(again).toMatchObject({ kind: 'exists', message: { data: { amount: 12 }, runs: [] } })
      const listed = await store.messages.list({ workspace: 'default', name: message.name, limit: 10 })
      expect(listed.items).toMatchObject([{ id: message.id, correlationKey: 'A-17' }])
      await whileOwning(store, async (session) => {
        const run = await waiting(store, session, message)
        await store.messages.give({ workspace: 'default', id: message.id, to: to(run) })
        const left = await store.messages.list({ workspace: 'default', name: message.name, limit: 10 })
        expect(left.items).toEqual([])
        expect(await store.messages.get({ workspace: 'default', id: message.id })).toMatchObject({
          runs: [run.id],
        })
      })
    })

    it('finds the open waits that name and key fit, in this workspace', async () => {
      const { store } = opened()
      const message = newMessage({ correlationKey: 'A-17' })
      await whileOwning(store, async (session) => {
        const keyed = await waiting(store, session, message)
        const any = await waiting(store, session, { ...message, correlationKey: null })
        await waiting(store, session, message, { key: 'B-1' })
        await waiting(store, session, message, { workspace: 'other' })
        await waiting(store, session, newMessage())
        const waits = await store.messages.waits(message)
        expect(new Set(waits.map(({ runId }) => runId))).toEqual(new Set([keyed.id, any.id]))
        const unkeyed = await store.messages.waits({ ...message, correlationKey: null })
        expect(unkeyed.map(({ runId }) => runId)).toEqual([any.id])
      })
    })

    it('puts the message into every inbox at once and makes the runs due', async () => {
      const { store } = opened()
      const message = newMessage({ correlationKey: 'A-17', data: { text: 'NUL \0, and 1e400' } })
      await store.messages.keep(message)
      await whileOwning(store, async (session) => {
        const runs = [await waiting(store, session, message), await waiting(store, session, message)]
        const outcome = await store.messages.give({ workspace: 'default', id: message.id, to: to(...runs) })
        expect(outcome).toEqual({ kind: 'given', runs: expect.arrayContaining(runs.map((run) => run.id)) })
        const inbox = await session.inbox(runs.map((run) => run.id))
        for (const run of runs) {
          expect(inbox.get(run.id)).toMatchObject([
            {
              actor: 'ann',
              command: {
                kind: 'message',
                messageId: message.id,
                name: message.name,
                correlationKey: 'A-17',
                data: message.data,
                waitIds: [waitIdOf(run)],
              },
            },
          ])
        }
        const due = await session.due({
          partitions: EVERY_PARTITION,
          now: Date.now() + 1_000,
          limit: 10_000,
        })
        expect(due.map(({ runId }) => runId)).toEqual(expect.arrayContaining(runs.map((run) => run.id)))
        const again = await store.messages.give({ workspace: 'default', id: message.id, to: to(...runs) })
        expect(again).toEqual({ kind: 'not_kept' })
      })
    })

    it('gives a message to one of many that want it at the same time, from two processes', async () => {
      const { store, another } = opened()
      const other = await another()
      await whileOwning(store, async (session) => {
        for (let round = 0; round < 10; round++) {
          const message = newMessage()
          await store.messages.keep(message)
          const runs = [await waiting(store, session, message), await waiting(store, session, message)]
          const outcomes = await Promise.all(
            runs.map((run, index) =>
              (index === 0 ? store : other).messages.give({
                workspace: 'default',
                id: message.id,
                to: to(run),
              }),
            ),
          )
          expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['given', 'not_kept'])
          const inbox = await session.inbox(runs.map((run) => run.id))
          expect([...inbox.values()].flat()).toHaveLength(1)
        }
      })
      await other.close()
    })

    it('keeps it again once all who got it have refused, to be held against the waits anew', async () => {
      const { store } = opened()
      const message = newMessage()
      await store.messages.keep(message)
      await whileOwning(store, async (session) => {
        const runs = [await waiting(store, session, message), await waiting(store, session, message)] as const
        await store.messages.give({ workspace: 'default', id: message.id, to: to(...runs) })
        const before = Date.now() + 1_000
        const forgotten = async () =>
          (await store.messages.unannounced({ before, limit: 1_000 })).filter(({ id }) => id === message.id)
        await refuse(session, runs[0], message)
        expect(await forgotten()).toEqual([])
        await refuse(session, runs[1], message)
        expect(await forgotten()).toMatchObject([{ runs: [], offers: 1, isAnnounced: false }])
        // A look that was made before it was given says nothing about the waits of now.
        const announced = (offers: number) =>
          store.messages.announced({ workspace: 'default', id: message.id, offers })
        expect(await announced(0)).toBe(false)
        expect(await forgotten()).toHaveLength(1)
        expect(await announced(1)).toBe(true)
        expect(await forgotten()).toEqual([])
        expect(await store.messages.get({ workspace: 'default', id: message.id })).toMatchObject({
          isAnnounced: true,
        })
        const again = await store.messages.give({ workspace: 'default', id: message.id, to: to(runs[0]) })
        expect(again).toEqual({ kind: 'given', runs: [runs[0].id] })
        expect(await announced(2)).toBe(false)
      })
    })

    it('hands kept messages out by age, those of a key to a wait with that key', async () => {
      const { store } = opened()
      const name = `m-${randomUUID()}`
      const at = Date.now()
      const ids: string[] = []
      for (let index = 0; index < 5; index++) {
        const message = newMessage({
          name,
          correlationKey: index % 2 === 0 ? 'even' : 'odd',
          createdAt: at + index,
        })
        await store.messages.keep(message)
        ids.push(message.id)
      }
      await store.messages.keep(newMessage({ name, correlationKey: 'even', expiresAt: at - 1 }))
      const wanted = { workspace: 'default', name, limit: 2 }
      const even = await store.messages.keptFor({ ...wanted, correlationKey: 'even' })
      expect(even.map(({ id }) => id)).toEqual([ids[0], ids[2]])
      const rest = await store.messages.keptFor({ ...wanted, correlationKey: 'even', after: even[1]! })
      expect(rest.map(({ id }) => id)).toEqual([ids[4]])
      expect((await store.messages.keptFor({ ...wanted, limit: 10 })).map(({ id }) => id)).toEqual(ids)
    })

    it('names the runs whose open wait a kept message may fit', async () => {
      const { store } = opened()
      const message = newMessage({ correlationKey: 'A-17' })
      await store.messages.keep(message)
      await whileOwning(store, async (session) => {
        const fits = await waiting(store, session, message)
        const any = await waiting(store, session, { ...message, correlationKey: null })
        const differs = await waiting(store, session, message, { key: 'B-1' })
        const found = new Set(await store.messages.expectant({ partitions: EVERY_PARTITION, limit: 1_000 }))
        expect([fits, any, differs].map((run) => found.has(run.id))).toEqual([true, true, false])
        const elsewhere = EVERY_PARTITION.filter(
          (number) => number !== Number.parseInt(fits.id.slice(-1), 16),
        )
        const others = await store.messages.expectant({ partitions: elsewhere, limit: 1_000 })
        expect(others).not.toContain(fits.id)
      })
    })

    it('gives nothing to a run that was deleted', async () => {
      const { store } = opened()
      const message = newMessage()
      await store.messages.keep(message)
      const run = await finishedRun(store)
      await store.runs.delete({ workspace: 'default', id: run.id })
      const outcome = await store.messages.give({ workspace: 'default', id: message.id, to: to(run) })
      expect(outcome).toEqual({ kind: 'given', runs: [] })
      expect(await store.messages.get({ workspace: 'default', id: message.id })).toMatchObject({ runs: [] })
    })

    it('deletes a kept message, never one that somebody has', async () => {
      const { store } = opened()
      const [kept, given] = [newMessage(), newMessage()]
      await store.messages.keep(kept)
      await store.messages.keep(given)
      const remove = (message: Message, workspace = 'default') =>
        store.messages.delete({ workspace, id: message.id })
      expect(await remove(kept, 'other')).toBe('not_found')
      expect(await remove(kept)).toBe('deleted')
      expect(await remove(kept)).toBe('not_found')
      await whileOwning(store, async (session) => {
        const run = await waiting(store, session, given)
        await store.messages.give({ workspace: 'default', id: given.id, to: to(run) })
        expect(await remove(given)).toBe('given')
      })
    })

    it('forgets a message after its time, and remembers the id of a short one for longer', async () => {
      const { store } = opened()
      const now = Date.now()
      const old = newMessage({ createdAt: now - 48 * HOUR_MS, expiresAt: now - 24 * HOUR_MS })
      const young = newMessage({ createdAt: now - HOUR_MS, expiresAt: now - 1_000 })
      await store.messages.keep(old)
      await store.messages.keep(young)
      expect(await store.messages.give({ workspace: 'default', id: young.id, to: [] })).toEqual({
        kind: 'not_kept',
      })
      await store.messages.expire({ before: now - 24 * HOUR_MS, limit: 1_000 })
      expect(await store.messages.get({ workspace: 'default', id: old.id })).toBeNull()
      expect(await store.messages.keep(young)).toMatchObject({ kind: 'exists' })
    })

    it('holds the blobs of a message as long as it is kept, and the run that takes it afterwards', async () => {
      const { store } = opened()
      const bytes = new TextEncoder().encode(JSON.stringify(randomUUID()))
      const put = { workspace: 'default', bytes, contentType: 'application/json', at: 1 }
      const data = { ...(await store.blobs.put(put)) }
      const message = newMessage({ data })
      await store.messages.keep(message)
      const isThere = async () => {
        await store.blobs.collect({ before: 2, limit: 1_000 })
        return (await store.blobs.get({ workspace: 'default', hash: data.$blob })) !== null
      }
      expect(await isThere()).toBe(true)
      await whileOwning(store, async (session) => {
        const run = await waiting(store, session, message)
        await store.messages.give({ workspace: 'default', id: message.id, to: to(run) })
      })
      await store.messages.expire({ before: message.createdAt + 1, limit: 1_000 })
      expect(await isThere()).toBe(true)
      const unwanted = newMessage({ data })
      await store.messages.keep(unwanted)
      await store.messages.delete({ workspace: 'default', id: unwanted.id })
      expect(await isThere()).toBe(true)
    })
  })
}
