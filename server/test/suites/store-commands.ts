/** A command is durable before it is answered, wakes its run, and counts once (R15). */
import { randomUUID } from 'node:crypto'
import type { Command } from '@weft/engine'
import { describe, expect, it } from 'vitest'
import type { NewRun, OwnerSession, RunStore } from '../../src/store/store.ts'
import {
  appendOf,
  EVERY_PARTITION,
  ending,
  newRun,
  type Opened,
  paused,
  START_MS,
  whileOwning,
} from './store-fixture.ts'

const cancel: Command = { kind: 'cancel', reason: 'enough' }
const accepted = { accepted: true as const }

const send = (store: RunStore, run: NewRun, id: string = randomUUID(), command = cancel) =>
  store.inbox.insert({ id, runId: run.id, workspace: run.workspace, actor: 'ann', command })

async function isDue(session: OwnerSession, run: NewRun): Promise<boolean> {
  // Everything else in the suite lies in the far future: whatever is due before it was woken by a command.
  const due = await session.due({ partitions: EVERY_PARTITION, now: START_MS - 1, limit: 10_000 })
  return due.some((row) => row.runId === run.id)
}

export function commandCases(opened: Opened): void {
  describe('commands', () => {
    async function begun(): Promise<NewRun> {
      const run = newRun()
      await opened().store.runs.begin(run)
      return run
    }

    it('waits in the inbox in the order of arrival, and makes the run due', async () => {
      const { store } = opened()
      const run = await begun()
      await whileOwning(store, async (session) => {
        await session.append([appendOf(run, { wakeAt: null })])
        const ids = [randomUUID(), randomUUID(), randomUUID()]
        for (const id of ids) expect(await send(store, run, id)).toEqual({ kind: 'queued' })
        const inbox = (await session.inbox([run.id])).get(run.id)
        expect(inbox).toEqual(ids.map((id) => ({ id, runId: run.id, actor: 'ann', command: cancel })))
        expect((await session.load([run.id])).get(run.id)?.inbox).toEqual(inbox)
        expect(await isDue(session, run)).toBe(true)
      })
    })

    it('answers a repeated command with what became of the first', async () => {
      const { store } = opened()
      const run = await begun()
      const id = randomUUID()
      await send(store, run, id)
      expect(await send(store, run, id)).toEqual({ kind: 'exists', verdict: null })
      expect(await store.inbox.verdict(id)).toBeNull()
      const verdict = { accepted: false as const, code: 'run_finished', message: 'The run has ended.' }
      await whileOwning(store, (session) =>
        session.append([appendOf(run, { verdicts: [{ commandId: id, verdict }] })]),
      )
      expect(await send(store, run, id)).toEqual({ kind: 'exists', verdict })
      expect(await store.inbox.verdict(id)).toEqual(verdict)
    })

    it('queues one command of many that are sent at once under one id, from two processes', async () => {
      const { store, another } = opened()
      const other = await another()
      const run = await begun()
      const id = randomUUID()
      const outcomes = await Promise.all(
        Array.from({ length: 30 }, (_, index) => send(index % 2 === 0 ? store : other, run, id)),
      )
      expect(outcomes.filter((outcome) => outcome.kind === 'queued')).toHaveLength(1)
      await whileOwning(store, async (session) => {
        await session.append([
          appendOf(run, { wakeAt: null, verdicts: [{ commandId: id, verdict: accepted }] }),
        ])
        // Counted once, too: nothing is open, so the run sleeps.
        expect(await isDue(session, run)).toBe(false)
      })
      await other.close()
    })

    it('knows no run of another workspace, and none that does not exist', async () => {
      const { store } = opened()
      const run = await begun()
      expect(await send(store, { ...run, workspace: 'other' })).toEqual({ kind: 'no_run' })
      expect(await send(store, newRun())).toEqual({ kind: 'no_run' })
      expect(await send(store, { ...run, id: 'nonsense' })).toEqual({ kind: 'no_run' })
      const id = randomUUID()
      await send(store, run, id)
      expect(await send(store, { ...run, workspace: 'other' }, id)).toEqual({ kind: 'no_run' })
    })

    it('settles a command once: a second verdict changes nothing', async () => {
      const { store } = opened()
      const run = await begun()
      const id = randomUUID()
      await send(store, run, id)
      const refused = { accepted: false as const, code: 'late', message: 'Too late.' }
      await whileOwning(store, async (session) => {
        await session.append([appendOf(run, { verdicts: [{ commandId: id, verdict: accepted }] })])
        await session.append([
          appendOf(run, { firstSeq: 3, verdicts: [{ commandId: id, verdict: refused }] }),
        ])
        expect((await session.inbox([run.id])).get(run.id)).toBeUndefined()
      })
      expect(await store.inbox.verdict(id)).toEqual(accepted)
    })

    it('settles nothing when the statement with its events fails', async () => {
      const { store } = opened()
      const run = await begun()
      const id = randomUUID()
      await send(store, run, id)
      await whileOwning(store, async (session) => {
        const stale = appendOf(run, { firstSeq: 1, verdicts: [{ commandId: id, verdict: accepted }] })
        await expect(session.append([stale])).rejects.toThrow()
        expect((await session.inbox([run.id])).get(run.id)).toHaveLength(1)
      })
      expect(await store.inbox.verdict(id)).toBeNull()
    })

    it('keeps the run due when a command arrives while a batch without it is decided', async () => {
      const { store } = opened()
      const run = await begun()
      await whileOwning(store, async (session) => {
        await send(store, run)
        await session.append([ending(run)])
        expect(await isDue(session, run)).toBe(true)
        await session.postpone([{ runId: run.id, wakeAt: null }])
        expect(await isDue(session, run)).toBe(true)
      })
    })

    it('lets the run sleep again once its last command is settled', async () => {
      const { store } = opened()
      const run = await begun()
      const [first, second] = [randomUUID(), randomUUID()]
      await whileOwning(store, async (session) => {
        await send(store, run, first)
        await send(store, run, second)
        await session.append([
          appendOf(run, { wakeAt: null, verdicts: [{ commandId: first, verdict: accepted }] }),
        ])
        expect(await isDue(session, run)).toBe(true)
        await session.append([
          appendOf(run, {
            firstSeq: 3,
            wakeAt: START_MS + 99,
            verdicts: [{ commandId: second, verdict: accepted }],
          }),
        ])
        expect(await isDue(session, run)).toBe(false)
        expect((await session.load([run.id])).get(run.id)?.row.wakeAt).toBe(START_MS + 99)
      })
    })

    it('loses no command among hundreds that race with appends', async () => {
      const { store } = opened()
      const run = await begun()
      const sent: Promise<unknown>[] = []
      await whileOwning(store, async (session) => {
        let seq = 1
        for (let turn = 0; turn < 40; turn++) {
          for (let count = 0; count < 5; count++) sent.push(send(store, run))
          const waiting = (await session.inbox([run.id])).get(run.id) ?? []
          await session.append([
            appendOf(run, {
              firstSeq: seq + 1,
              events: waiting.map((_, index) => paused(START_MS + seq + index)),
              wakeAt: null,
              verdicts: waiting.map((row) => ({ commandId: row.id, verdict: accepted })),
            }),
          ])
          seq += waiting.length
          const unseen = (await session.inbox([run.id])).get(run.id)
          if (unseen) expect(await isDue(session, run)).toBe(true)
        }
        await Promise.all(sent)
        const last = (await session.inbox([run.id])).get(run.id) ?? []
        await session.append([
          appendOf(run, {
            firstSeq: seq + 1,
            events: last.map(() => paused(START_MS + seq)),
            wakeAt: null,
            verdicts: last.map((row) => ({ commandId: row.id, verdict: accepted })),
          }),
        ])
        expect(await isDue(session, run)).toBe(false)
        const loaded = (await session.load([run.id])).get(run.id)
        expect(loaded?.inbox).toEqual([])
        expect(loaded?.events).toHaveLength(1 + sent.length)
      })
    })
  })

  describe('due', () => {
    it('answers the earliest runs of the asked partitions, a page at a time', async () => {
      const { store } = opened()
      const far = START_MS * 2
      const at = (digit: string, index: number) =>
        newRun({ id: `${randomUUID().slice(0, -1)}${digit}`, started: { at: far + index } })
      const runs = [at('3', 30), at('3', 10), at('4', 20), at('5', 1)]
      for (const run of runs) await store.runs.begin(run)
      await whileOwning(store, async (session) => {
        const due = async (partitions: number[], now: number, limit: number) => {
          const rows = await session.due({ partitions, now, limit })
          return rows.filter((row) => row.wakeAt >= far).map((row) => row.runId)
        }
        const everything = { limit: 10_000, now: far + 20_000 }
        expect(await due([3, 4], everything.now, everything.limit)).toEqual([
          runs[1]?.id,
          runs[2]?.id,
          runs[0]?.id,
        ])
        expect(await due([3, 4], far + 10_025, everything.limit)).toEqual([runs[1]?.id, runs[2]?.id])
        expect(await session.due({ partitions: [3, 4], now: far + 20_000, limit: 2 })).toHaveLength(2)
        expect(await session.due({ partitions: [], now: far + 20_000, limit: 2 })).toEqual([])
        await session.postpone(runs.map((run) => ({ runId: run.id, wakeAt: null })))
        expect(await due([3, 4, 5], everything.now, everything.limit)).toEqual([])
      })
    })

    it('leaves a quarantined run alone until it is recovered, then it is due at once (R16)', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      await whileOwning(store, async (session) => {
        await session.quarantine({ runId: run.id, reason: 'decide threw: \0' })
        expect((await session.load([run.id])).get(run.id)?.row.stuckReason).toBe('decide threw: \uFFFD')
        await send(store, run)
        expect(await isDue(session, run)).toBe(false)
        expect(await store.runs.recover({ workspace: 'other', id: run.id })).toBe(false)
        expect(await store.runs.recover({ workspace: 'default', id: run.id })).toBe(true)
        expect(await store.runs.recover({ workspace: 'default', id: run.id })).toBe(false)
        expect(await isDue(session, run)).toBe(true)
        expect((await session.load([run.id])).get(run.id)?.row.stuckReason).toBeNull()
      })
    })
  })
}
