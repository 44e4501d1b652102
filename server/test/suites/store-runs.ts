/** Runs are found again: by id, by the ways a person names one, in pages that neither skip nor repeat. */
import { randomUUID } from 'node:crypto'
import { InvalidError, type ParentLink, type RunEvent } from '@weft/engine'
import { describe, expect, it } from 'vitest'
import type { RunAppend, RunFilter, RunRow, RunStore } from '../../src/store/store.ts'
import {
  appendOf,
  failureOf,
  finishedRun,
  idBeside,
  newRun,
  type Opened,
  paused,
  runStarted,
  START_MS,
  stepCompleted,
  whileOwning,
} from './store-fixture.ts'

async function everyPage(store: RunStore, filter: Omit<RunFilter, 'cursor'>): Promise<RunRow[]> {
  const items: RunRow[] = []
  let cursor: string | undefined
  do {
    const page = await store.runs.list({ ...filter, ...(cursor === undefined ? {} : { cursor }) })
    expect(page.items.length).toBeLessThanOrEqual(filter.limit)
    items.push(...page.items)
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined)
  return items
}

export function runListCases(opened: Opened): void {
  describe('runs', () => {
    it('shows a run to its own workspace only', async () => {
      const { store } = opened()
      const run = newRun({ workspace: 'mine' })
      await store.runs.begin(run)
      expect(await store.runs.get({ workspace: 'yours', id: run.id })).toBeNull()
      expect(await store.runs.find({ workspace: 'yours', reference: run.id })).toEqual({ ids: [] })
      expect(await store.runs.delete({ workspace: 'yours', id: run.id })).toBe('not_found')
      expect((await store.runs.list({ workspace: 'yours', limit: 100 })).items).toEqual([])
    })

    it('answers a name that is no id like one that is unknown', async () => {
      const { store } = opened()
      for (const id of ['nonsense', '', "'; drop table runs", randomUUID()]) {
        expect(await store.runs.get({ workspace: 'default', id })).toBeNull()
        expect(await store.runs.delete({ workspace: 'default', id })).toBe('not_found')
        expect(await store.runs.recover({ workspace: 'default', id })).toBe(false)
        expect(await store.runs.events({ runId: id, afterSeq: 0, limit: 5 })).toEqual([])
      }
    })

    it('finds the last run, the last of a workflow, and a run by the end of its id', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      const older = newRun({ workspace, workflow: 'a', started: { at: START_MS } })
      const newer = newRun({ workspace, workflow: 'b', started: { at: START_MS + 1 } })
      const parent: ParentLink = { runId: newer.id, key: 'body', round: 1, rootId: newer.id, depth: 1 }
      const child = newRun({
        id: idBeside(newer.id),
        workspace,
        workflow: 'a',
        started: { at: START_MS + 2, parent },
      })
      for (const run of [older, newer, child]) await store.runs.begin(run)
      const find = async (reference: string) => (await store.runs.find({ workspace, reference })).ids
      expect(await find('@last')).toEqual([newer.id])
      expect(await find('@last:a')).toEqual([older.id])
      expect(await find('@last:c')).toEqual([])
      expect(await find(older.id)).toEqual([older.id])
      expect(await find(older.id.slice(-6))).toEqual([older.id])
      expect(await find(child.id.slice(-8).toUpperCase())).toEqual([child.id])
      expect(await find(older.id.slice(-5))).toEqual([])
      expect(await find('%%%%%%')).toEqual([])
    })

    it('pages through all runs, newest first, while others arrive', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      // Several in one millisecond: the id must break the tie.
      const made = Array.from({ length: 11 }, (_, index) =>
        newRun({ workspace, started: { at: START_MS + Math.floor(index / 3) } }),
      )
      await Promise.all(made.map((run) => store.runs.begin(run)))
      const first = await store.runs.list({ workspace, limit: 4 })
      await store.runs.begin(newRun({ workspace, started: { at: START_MS + 100 } }))
      const seen = [...first.items]
      let cursor = first.nextCursor
      while (cursor !== null) {
        const page = await store.runs.list({ workspace, limit: 4, cursor })
        seen.push(...page.items)
        cursor = page.nextCursor
      }
      expect(seen.map((row) => row.id)).toHaveLength(made.length)
      expect(new Set(seen.map((row) => row.id))).toEqual(new Set(made.map((run) => run.id)))
      expect(seen.map((row) => row.createdAt)).toEqual(
        seen.map((row) => row.createdAt).toSorted((a, b) => b - a),
      )
    })

    it('filters by status, workflow, labels and parent, and by all of them at once', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      const labels = { team: 'blue', tier: '1' }
      const parent = newRun({ workspace, started: { labels } })
      const link: ParentLink = { runId: parent.id, key: 'body', round: 1, rootId: parent.id, depth: 1 }
      const child = newRun({
        id: idBeside(parent.id),
        workspace,
        workflow: 'child',
        started: { parent: link },
      })
      await store.runs.begin(parent)
      await store.runs.begin(child)
      const done = await finishedRun(store, { workspace, started: { labels: { team: 'blue' } } })
      const ids = async (filter: Partial<RunFilter>) =>
        new Set((await everyPage(store, { workspace, limit: 2, ...filter })).map((row) => row.id))
      expect(await ids({ status: ['completed'] })).toEqual(new Set([done.id]))
      expect(await ids({ status: ['queued', 'running'] })).toEqual(new Set([parent.id, child.id]))
      expect(await ids({ status: ['completed', 'queued'] })).toEqual(new Set([parent.id, child.id, done.id]))
      expect(await ids({ workflow: 'child' })).toEqual(new Set([child.id]))
      expect(await ids({ labels: { team: 'blue' } })).toEqual(new Set([parent.id, done.id]))
      expect(await ids({ labels })).toEqual(new Set([parent.id]))
      expect(await ids({ labels: {} })).toEqual(new Set([parent.id, child.id, done.id]))
      expect(await ids({ parentId: parent.id })).toEqual(new Set([child.id]))
      expect(await ids({ parentId: 'nonsense' })).toEqual(new Set())
      expect(await ids({ labels: { team: 'blue' }, status: ['completed'], workflow: 'orders' })).toEqual(
        new Set([done.id]),
      )
    })

    it('lists failed runs, and no longer when they are retried', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      const run = newRun({ workspace })
      await store.runs.begin(run)
      const error = { code: 'http_status', message: 'The service answered 500.', retryable: false }
      const failed = async () => (await store.runs.list({ workspace, status: ['failed'], limit: 5 })).items
      await whileOwning(store, async (session) => {
        await session.append([
          appendOf(run, {
            events: [{ type: 'run.failed', at: START_MS + 1, error }],
            status: 'failed',
            waitingFor: [],
            wakeAt: null,
            finished: { at: START_MS + 1, output: null, error },
          }),
        ])
        expect(await failed()).toMatchObject([{ id: run.id, error, finishedAt: START_MS + 1 }])
        await session.append([
          appendOf(run, { firstSeq: 3, events: [{ type: 'run.retried', at: START_MS + 2, actor: 'test' }] }),
        ])
      })
      expect(await failed()).toEqual([])
      expect(await store.runs.get({ workspace, id: run.id })).toMatchObject({
        status: 'running',
        error: null,
        finishedAt: null,
        seq: 3,
      })
    })

    it('refuses a cursor of another list with a sentence', async () => {
      const { store } = opened()
      for (const cursor of ['garbage', Buffer.from('["a"]').toString('base64url')]) {
        const failure = await failureOf(store.runs.list({ workspace: 'default', limit: 5, cursor }))
        expect(failure).toBeInstanceOf(InvalidError)
        expect(failure.message).toContain('invalid_cursor')
      }
    })

    it('reads a log from any event on', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const events = Array.from({ length: 5 }, (_, index) => ({
        type: 'run.paused' as const,
        at: START_MS + index,
        actor: `${index}`,
      }))
      await whileOwning(store, (session) => session.append([appendOf(run, { events })]))
      expect(await store.runs.events({ runId: run.id, afterSeq: 2, limit: 2 })).toEqual([
        { seq: 3, event: events[1] },
        { seq: 4, event: events[2] },
      ])
    })

    it('begins a fork with the events that it copies, at the times of its source', async () => {
      const { store } = opened()
      const started = runStarted({ at: START_MS - 50, input: { text: '\0 \ud800' } })
      const copied = [stepCompleted('\0', START_MS - 40), paused(START_MS - 30)]
      const run = { ...newRun(), started, copied }
      expect(await store.runs.begin(run)).toEqual({ kind: 'begun' })
      const stored = await store.runs.events({ runId: run.id, afterSeq: 0, limit: 10 })
      expect(stored).toEqual([started, ...copied].map((event, index) => ({ seq: index + 1, event })))
      const row = await store.runs.get({ workspace: 'default', id: run.id })
      expect(row).toMatchObject({ seq: 3, input: started.input })
    })

    it('counts unfinished runs by status, and quarantined ones', async () => {
      const { store } = opened()
      const before = await store.runs.counts()
      const run = newRun()
      await store.runs.begin(run)
      await finishedRun(store)
      await whileOwning(store, (session) => session.quarantine({ runId: run.id, reason: 'it threw' }))
      const after = await store.runs.counts()
      expect(after.byStatus.queued).toBe((before.byStatus.queued ?? 0) + 1)
      expect(after.byStatus.completed).toBeUndefined()
      expect(after.stuck).toBe(before.stuck + 1)
      await store.runs.recover({ workspace: 'default', id: run.id })
    })

    it('counts attempts whose retry is not due yet by node type, and none that their run has left behind', async () => {
      const { store } = opened()
      const type = `work_${randomUUID().slice(0, 8)}`
      const graph = `sha256:${randomUUID()}`
      await store.graphs.put({
        hash: graph,
        definition: { nodes: { fetch: { type }, note: { type: 'log' } } },
      })
      const failed = (key: string, retryAt: number): RunEvent => {
        const error = { code: 'http_503', message: 'escaped: \u0000', retryable: true }
        return { type: 'attempt.failed', at: START_MS + 1, key, round: 1, attempt: 1, error, retryAt }
      }
      const count = async (now: number) => (await store.runs.retries({ now }))[type]
      await whileOwning(store, async (session) => {
        const begin = async (events: RunEvent[], changes: Partial<RunAppend> = {}) => {
          const run = newRun({ started: { graph } })
          await store.runs.begin({ ...run, graph })
          await session.append([appendOf(run, { events, ...changes })])
        }
        await begin([failed('fetch', START_MS + 10), failed('note', START_MS + 10)])
        await begin([failed('fetch[0]', START_MS + 10), failed('fetch[1]', START_MS + 20)])
        await begin([failed('fetch', START_MS + 20)], { status: 'stopping' })
        const finished = { at: START_MS + 2, output: null, error: null }
        await begin([failed('fetch', START_MS + 20)], { status: 'cancelled', finished })
        const retried = { type: 'run.retried', at: START_MS + 2, actor: 'ann' } as const
        await begin([failed('fetch', START_MS + 20), retried])
      })
      expect([await count(START_MS), await count(START_MS + 10), await count(START_MS + 20)]).toEqual([
        3,
        1,
        undefined,
      ])
    })
  })
}
