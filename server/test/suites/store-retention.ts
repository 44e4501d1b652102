/** What is finished goes with everything that belongs to it; what is not, never. */
import { randomUUID } from 'node:crypto'
import type { ParentLink } from '@weft/engine'
import { describe, expect, it } from 'vitest'
import type { NewRun, RunStore } from '../../src/store/store.ts'
import {
  appendOf,
  ending,
  finishedRun,
  idBeside,
  newRun,
  type Opened,
  START_MS,
  stepCompleted,
  whileOwning,
} from './store-fixture.ts'

const childOf = (parent: NewRun, root: NewRun = parent): NewRun => {
  const link: ParentLink = {
    runId: parent.id,
    key: 'body',
    round: 1,
    rootId: root.id,
    depth: root === parent ? 1 : 2,
  }
  return newRun({ id: idBeside(parent.id), workspace: parent.workspace, started: { parent: link } })
}

const exists = async (store: RunStore, run: NewRun): Promise<boolean> => {
  const row = await store.runs.get({ workspace: run.workspace, id: run.id })
  const events = await store.runs.events({ runId: run.id, afterSeq: 0, limit: 1 })
  expect(events).toHaveLength(row ? 1 : 0)
  return row !== null
}

const finish = (store: RunStore, runs: readonly NewRun[], at: number) =>
  whileOwning(store, (session) => session.append(runs.map((run) => ending(run, at))))

export function retentionCases(opened: Opened): void {
  describe('delete', () => {
    it('removes a finished run with its log, commands, approvals and records', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const [commandId, waitId] = [randomUUID(), randomUUID()]
      await store.inbox.insert({
        id: commandId,
        runId: run.id,
        workspace: 'default',
        actor: 'a',
        command: { kind: 'pause' },
      })
      const record = { runId: run.id, key: 'a', round: 1, name: 'n' }
      await store.records.once({ ...record, attempt: 1, value: 1, at: 1 })
      const wait = { kind: 'approval' as const, title: 'Go?', onTimeout: 'fail' as const }
      await whileOwning(store, (session) =>
        session.append([
          ending(run, START_MS, {
            verdicts: [{ commandId, verdict: { accepted: true } }],
            waitsOpened: [{ waitId, key: 'a', wait, wakeAt: null, at: 1 }],
          }),
        ]),
      )
      expect(await store.runs.delete({ workspace: 'default', id: run.id })).toBe('deleted')
      expect(await exists(store, run)).toBe(false)
      expect(await store.inbox.verdict(commandId)).toBeNull()
      expect(await store.approvals.get({ workspace: 'default', id: waitId })).toBeNull()
      expect(await store.records.get(record)).toBeNull()
      expect(await store.runs.delete({ workspace: 'default', id: run.id })).toBe('not_found')
    })

    it('refuses a run that is not finished, or that has a command to answer', async () => {
      const { store } = opened()
      const unfinished = newRun()
      await store.runs.begin(unfinished)
      expect(await store.runs.delete({ workspace: 'default', id: unfinished.id })).toBe('not_finished')
      const run = await finishedRun(store)
      const id = randomUUID()
      await store.inbox.insert({
        id,
        runId: run.id,
        workspace: 'default',
        actor: 'ann',
        command: { kind: 'retry' },
      })
      expect(await store.runs.delete({ workspace: 'default', id: run.id })).toBe('not_finished')
      expect(await exists(store, run)).toBe(true)
    })

    it('takes the children along, and waits for the last of them to end', async () => {
      const { store } = opened()
      const root = newRun()
      const child = childOf(root)
      const grandchild = childOf(child, root)
      for (const run of [root, child, grandchild]) await store.runs.begin(run)
      await finish(store, [root, child], START_MS)
      expect(await store.runs.delete({ workspace: 'default', id: root.id })).toBe('not_finished')
      expect(await exists(store, child)).toBe(true)
      await finish(store, [grandchild], START_MS)
      expect(await store.runs.delete({ workspace: 'default', id: root.id })).toBe('deleted')
      for (const run of [root, child, grandchild]) expect(await exists(store, run)).toBe(false)
    })

    it('either accepts a retry or removes the run, when both come at once', async () => {
      const { store, another } = opened()
      const other = await another()
      for (let turn = 0; turn < 15; turn++) {
        const run = await finishedRun(store)
        const id = randomUUID()
        const command = {
          id,
          runId: run.id,
          workspace: 'default',
          actor: 'ann',
          command: { kind: 'retry' as const },
        }
        const [inserted, deleted] = await Promise.all([
          other.inbox.insert(command),
          store.runs.delete({ workspace: 'default', id: run.id }),
        ])
        expect([inserted.kind, deleted]).toBeOneOf([
          ['queued', 'not_finished'],
          ['no_run', 'deleted'],
        ])
        expect(await exists(store, run)).toBe(inserted.kind === 'queued')
      }
      await other.close()
    })
  })

  describe('expire', () => {
    /** Before every other run of the suite has ended. */
    const OLD_MS = 1_000_000

    it('removes what finished before the time, in batches, and nothing else', async () => {
      const { store } = opened()
      const old = await Promise.all(
        Array.from({ length: 5 }, async () => {
          const run = newRun()
          await store.runs.begin(run)
          return run
        }),
      )
      await finish(store, old, OLD_MS)
      const young = await finishedRun(store, {}, OLD_MS + 1)
      const unfinished = newRun({ started: { at: 1 } })
      await store.runs.begin(unfinished)
      const before = OLD_MS + 1
      expect(await store.runs.expire({ before, limit: 3 })).toBe(3)
      expect(await store.runs.expire({ before, limit: 3 })).toBe(2)
      expect(await store.runs.expire({ before, limit: 3 })).toBe(0)
      for (const run of old) expect(await exists(store, run)).toBe(false)
      expect(await exists(store, young)).toBe(true)
      expect(await exists(store, unfinished)).toBe(true)
      await store.runs.delete({ workspace: 'default', id: young.id })
    })

    it('keeps a family together: children stay with a parent that may be retried, parents wait for children', async () => {
      const { store } = opened()
      const [parent, root] = [newRun(), newRun()]
      const [child, straggler] = [childOf(parent), childOf(root)]
      for (const run of [parent, root, child, straggler]) await store.runs.begin(run)
      await finish(store, [child, root], OLD_MS)
      const before = OLD_MS + 1
      expect(await store.runs.expire({ before, limit: 10 })).toBe(0)
      expect(await exists(store, child)).toBe(true)
      await finish(store, [parent, straggler], OLD_MS)
      expect(await store.runs.expire({ before, limit: 10 })).toBe(4)
      for (const run of [parent, root, child, straggler]) expect(await exists(store, run)).toBe(false)
    })

    it('keeps a finished run with a command to answer', async () => {
      const { store } = opened()
      const run = await finishedRun(store, {}, OLD_MS)
      const id = randomUUID()
      await store.inbox.insert({
        id,
        runId: run.id,
        workspace: 'default',
        actor: 'ann',
        command: { kind: 'retry' },
      })
      expect(await store.runs.expire({ before: OLD_MS + 1, limit: 10 })).toBe(0)
      await whileOwning(store, (session) =>
        session.append([
          appendOf(run, {
            firstSeq: 3,
            events: [],
            status: 'completed',
            waitingFor: [],
            wakeAt: null,
            verdicts: [{ commandId: id, verdict: { accepted: true } }],
          }),
        ]),
      )
      expect(await store.runs.expire({ before: OLD_MS + 1, limit: 10 })).toBe(1)
    })
  })

  describe('blobs of runs', () => {
    const put = (store: RunStore, workspace: string, at: number) =>
      store.blobs.put({ workspace, bytes: Buffer.from(randomUUID()), contentType: 'text/plain', at })

    it('keeps a blob as long as a log, a command or a record names it, and collects it after the run', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      const refs = await Promise.all(Array.from({ length: 5 }, () => put(store, workspace, 1)))
      const [input, output, command, record, unused] = refs as [(typeof refs)[0], ...typeof refs]
      const run = newRun({
        workspace,
        started: { input: { $blob: input.$blob, bytes: 36, contentType: 'text/plain' } },
      })
      await store.runs.begin(run)
      const id = randomUUID()
      const message = { kind: 'message' as const, messageId: id, name: 'm', ttlMs: 1 }
      await store.inbox.insert({
        id,
        runId: run.id,
        workspace,
        actor: 'a',
        command: { ...message, data: { nested: [{ ...(command as object) }] } },
      })
      await store.records.once({
        runId: run.id,
        key: 'a',
        round: 1,
        attempt: 1,
        name: 'n',
        value: { ...(record as object) },
        at: 1,
      })
      await whileOwning(store, (session) =>
        session.append([
          appendOf(run, {
            events: [stepCompleted([{ ...(output as object) }])],
            verdicts: [{ commandId: id, verdict: { accepted: true } }],
          }),
        ]),
      )
      const kept = async () => {
        const found = await Promise.all(refs.map((ref) => store.blobs.get({ workspace, hash: ref.$blob })))
        return found.map((blob) => blob !== null)
      }
      await store.blobs.collect({ before: 2, limit: 1000 })
      expect(await kept()).toEqual([true, true, true, true, false])
      expect(unused).toBeDefined()
      await whileOwning(store, (session) => session.append([ending(run, START_MS, { firstSeq: 3 })]))
      await store.runs.delete({ workspace, id: run.id })
      await store.blobs.collect({ before: 2, limit: 1000 })
      expect(await kept()).toEqual([false, false, false, false, false])
    })

    it('keeps a blob that was stored again a moment ago, though nothing names it yet', async () => {
      const { store } = opened()
      const blob = { workspace: randomUUID(), bytes: Buffer.from('again'), contentType: 'text/plain' }
      const ref = await store.blobs.put({ ...blob, at: 1 })
      await store.blobs.put({ ...blob, at: 10 })
      await store.blobs.collect({ before: 5, limit: 1000 })
      expect(await store.blobs.get({ workspace: blob.workspace, hash: ref.$blob })).not.toBeNull()
      await store.blobs.collect({ before: 11, limit: 1000 })
      expect(await store.blobs.get({ workspace: blob.workspace, hash: ref.$blob })).toBeNull()
    })
  })
}
