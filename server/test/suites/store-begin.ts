/** A run is accepted exactly once, whoever submits it how often, and durable when `begin` resolves. */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { RowRefused } from '../../src/store/store.ts'
import { EVERY_PARTITION, failureOf, newRun, type Opened, START_MS, whileOwning } from './store-fixture.ts'

const keyed = (key: string, bodyHash = 'body') =>
  newRun({ idempotency: { route: 'POST /runs', key, bodyHash } })

export function beginCases(opened: Opened): void {
  describe('begin', () => {
    it('keeps the run and its first event', async () => {
      const { store } = opened()
      const run = newRun({ started: { input: { order: 7 }, labels: { team: 'blue' } } })
      expect(await store.runs.begin(run)).toEqual({ kind: 'begun' })
      expect(await store.runs.get({ workspace: 'default', id: run.id })).toMatchObject({
        id: run.id,
        status: 'queued',
        waitingFor: [],
        input: { order: 7 },
        labels: { team: 'blue' },
        output: null,
        error: null,
        parent: null,
        seq: 1,
        createdAt: START_MS,
        finishedAt: null,
        stuckReason: null,
      })
      expect(await store.runs.events({ runId: run.id, afterSeq: 0, limit: 10 })).toEqual([
        { seq: 1, event: run.started },
      ])
    })

    it('wakes a run ten seconds later that no signal ever reached (R6)', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      await whileOwning(store, async (session) => {
        const dueAt = async (now: number) => {
          const due = await session.due({ partitions: EVERY_PARTITION, now, limit: 10_000 })
          return due.find((row) => row.runId === run.id)
        }
        expect(await dueAt(START_MS + 9_999)).toBeUndefined()
        expect(await dueAt(START_MS + 10_000)).toEqual({ runId: run.id, wakeAt: START_MS + 10_000 })
      })
    })

    it('answers a repeated id with that run, and leaves it as it is', async () => {
      const { store } = opened()
      const run = newRun({ started: { input: 'first' } })
      await store.runs.begin(run)
      const again = { ...run, started: { ...run.started, input: 'second' } }
      expect(await store.runs.begin(again)).toEqual({ kind: 'exists', runId: run.id })
      expect((await store.runs.get({ workspace: 'default', id: run.id }))?.input).toBe('first')
    })

    it('begins one run for one id that is submitted many times at once', async () => {
      const { store, another } = opened()
      const other = await another()
      const run = newRun()
      const outcomes = await Promise.all(
        Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? store : other).runs.begin(run)),
      )
      expect(outcomes.filter((outcome) => outcome.kind === 'begun')).toHaveLength(1)
      expect(await store.runs.events({ runId: run.id, afterSeq: 0, limit: 10 })).toHaveLength(1)
      await other.close()
    })

    it('makes exactly one run of a hundred submits with one key, from two processes', async () => {
      const { store, another } = opened()
      const other = await another()
      const key = randomUUID()
      const outcomes = await Promise.all(
        Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? store : other).runs.begin(keyed(key))),
      )
      const begun = outcomes.filter((outcome) => outcome.kind === 'begun')
      const answered = new Set(
        outcomes.flatMap((outcome) => (outcome.kind === 'exists' ? [outcome.runId] : [])),
      )
      expect(begun).toHaveLength(1)
      expect(answered.size).toBe(1)
      const [runId] = answered
      expect(await store.runs.get({ workspace: 'default', id: runId as string })).not.toBeNull()
      await other.close()
    })

    it('lets two processes that submit the same keys in opposite order wait for each other, not for ever', async () => {
      const { store, another } = opened()
      const other = await another()
      const keys = Array.from({ length: 60 }, () => randomUUID())
      const outcomes = await Promise.all([
        ...keys.map((key) => store.runs.begin(keyed(key))),
        ...keys.toReversed().map((key) => other.runs.begin(keyed(key))),
      ])
      expect(outcomes.filter((outcome) => outcome.kind === 'begun')).toHaveLength(keys.length)
      await other.close()
    })

    it('refuses a key that comes back with another body', async () => {
      const { store } = opened()
      const key = randomUUID()
      const first = keyed(key, 'one')
      await store.runs.begin(first)
      expect(await store.runs.begin(keyed(key, 'two'))).toEqual({ kind: 'key_reused' })
      expect(await store.runs.begin(keyed(key, 'one'))).toEqual({ kind: 'exists', runId: first.id })
    })

    it('holds a key for its workspace and route only', async () => {
      const { store } = opened()
      const key = randomUUID()
      const elsewhere = newRun({
        workspace: 'other',
        idempotency: { route: 'POST /runs', key, bodyHash: 'x' },
      })
      const route = newRun({ idempotency: { route: 'POST /orchestrate', key, bodyHash: 'x' } })
      expect(await store.runs.begin(keyed(key))).toEqual({ kind: 'begun' })
      expect(await store.runs.begin(elsewhere)).toEqual({ kind: 'begun' })
      expect(await store.runs.begin(route)).toEqual({ kind: 'begun' })
    })

    it('fails the one submit that cannot be stored, not those that share its commit (R16)', async () => {
      const { store } = opened()
      const bad = newRun({ started: { labels: { text: 'NUL \0 in a label' } } })
      const good = Array.from({ length: 9 }, () => newRun())
      const submits = [...good.slice(0, 5), bad, ...good.slice(5)].map((run) => store.runs.begin(run))
      const settled = await Promise.allSettled(submits)
      expect(settled.map((result) => result.status)).toEqual([
        ...Array(5).fill('fulfilled'),
        'rejected',
        ...Array(4).fill('fulfilled'),
      ])
      expect(await failureOf(submits[5] as Promise<unknown>)).toBeInstanceOf(RowRefused)
    })
  })
}
