/** One owner per partition, and a session that is no longer one writes nothing (R3, R4). */
import { describe, expect, it } from 'vitest'
import { type OwnerSession, SessionLost } from '../../src/store/store.ts'
import {
  appendOf,
  EVERY_PARTITION,
  ending,
  failureOf,
  idBeside,
  newRun,
  type Opened,
  stepCompleted,
  whileOwning,
} from './store-fixture.ts'

/** Every way in which a session stops being the owner of a run's partition. */
const STALE_OWNERS: readonly {
  readonly name: string
  stop(session: OwnerSession, name: string, opened: ReturnType<Opened>): Promise<void>
}[] = [
  { name: 'was ended by a peer', stop: (_session, name, { sever }) => sever(name) },
  { name: 'was closed', stop: (session) => session.close() },
  { name: 'gave the partition back', stop: (session) => session.release(EVERY_PARTITION) },
]

export function ownershipCases(opened: Opened): void {
  describe('ownership', () => {
    it('gives a partition to one session at a time', async () => {
      const { store, another } = opened()
      const other = await another()
      const [first, second] = [await store.openOwner('first'), await other.openOwner('second')]
      expect(await first.claim([1, 2, 3])).toEqual([1, 2, 3])
      expect(await second.claim([3, 4])).toEqual([4])
      expect(await first.claim([2, 4, 5])).toEqual([2, 5])
      await first.release([3, 15])
      expect(await second.claim([2, 3])).toEqual([3])
      await first.close()
      await second.close()
      await other.close()
    })

    it('frees a partition with one release, however often it was claimed', async () => {
      const { store } = opened()
      const [first, second] = [await store.openOwner('first'), await store.openOwner('second')]
      await first.claim([7])
      await first.claim([7])
      await first.release([7])
      expect(await second.claim([7])).toEqual([7])
      await first.close()
      await second.close()
    })

    it('gives one of many that claim at once each partition, and every partition to somebody', async () => {
      const { store } = opened()
      const sessions = await Promise.all(
        Array.from({ length: 4 }, (_, index) => store.openOwner(`racer-${index}`)),
      )
      const claims = await Promise.all(sessions.map((session) => session.claim(EVERY_PARTITION)))
      expect(claims.flat().toSorted((a, b) => a - b)).toEqual(EVERY_PARTITION)
      await Promise.all(sessions.map((session) => session.close()))
    })

    it('tells an owner that its session has ended, and frees its partitions for the next', async () => {
      const { store, sever } = opened()
      const session = await store.openOwner('severed')
      await session.claim(EVERY_PARTITION)
      await sever('severed')
      await session.ended
      expect(await failureOf(session.claim([1]))).toBeInstanceOf(SessionLost)
      await whileOwning(store, async () => {})
      await session.close()
    })

    it('resolves `ended` when the session is closed, too', async () => {
      const { store } = opened()
      const session = await store.openOwner('closed')
      await session.close()
      await session.ended
    })

    it('shows who shares the partitions, who owns which, and for how long each was silent', async () => {
      const { store, another } = opened()
      const other = await another()
      const [first, second] = [await store.openOwner('first'), await other.openOwner('second')]
      const beat = { id: 'a', name: 'first', session: first.id, leaving: false }
      expect(await store.coordinators.beat(beat)).toEqual({ silentBeforeMs: null })
      expect((await store.coordinators.beat(beat)).silentBeforeMs).toBeGreaterThanOrEqual(0)
      await other.coordinators.beat({ id: 'b', name: 'second', session: second.id, leaving: true })
      await first.claim([3, 1])
      const listed = await other.coordinators.list()
      expect(listed).toMatchObject([
        { id: 'a', name: 'first', partitions: [1, 3], leaving: false },
        { id: 'b', name: 'second', partitions: [], leaving: true },
      ])
      for (const { startedAt, silentMs } of listed) {
        expect(startedAt).toBeGreaterThan(0)
        expect(silentMs).toBeGreaterThanOrEqual(0)
      }
      // Without a sign of life it still owns what it owns.
      await store.coordinators.leave({ id: 'a' })
      await other.coordinators.leave({ id: 'b' })
      expect(await other.coordinators.list()).toMatchObject([{ id: null, partitions: [1, 3] }])
      await first.close()
      await second.close()
      expect(await other.coordinators.list()).toEqual([])
      await other.close()
    })

    it('ends the session of a silent member, and of nobody who has just beaten', async () => {
      const { store, another } = opened()
      const other = await another()
      const frozen = await store.openOwner('frozen')
      await store.coordinators.beat({ id: 'frozen', name: 'frozen', session: frozen.id, leaving: false })
      await frozen.claim(EVERY_PARTITION)
      expect(await other.coordinators.evict({ ids: ['frozen'], silentMs: 600_000 })).toEqual([])
      expect(await frozen.claim([1])).toEqual([1])
      expect(await other.coordinators.evict({ ids: ['frozen'], silentMs: 0 })).toEqual(['frozen'])
      // Free from here on, whether or not the process has noticed.
      await whileOwning(other, async () => {})
      await frozen.ended
      expect(await other.coordinators.list()).toEqual([])
      expect(await other.coordinators.evict({ ids: ['frozen'], silentMs: 0 })).toEqual([])
      await frozen.close()
      await other.close()
    })

    describe.each(STALE_OWNERS)('a session that $name', ({ stop }) => {
      it.each<[string, (session: OwnerSession, run: ReturnType<typeof newRun>) => Promise<void>]>([
        ['append an event', (session, run) => session.append([appendOf(run)])],
        ['append a final event', (session, run) => session.append([ending(run)])],
        [
          'settle a command',
          (session, run) =>
            session.append([
              appendOf(run, {
                events: [],
                verdicts: [{ commandId: `of-${run.id}`, verdict: { accepted: true } }],
              }),
            ]),
        ],
        [
          'open an approval',
          (session, run) =>
            session.append([
              appendOf(run, {
                events: [],
                waitsOpened: [
                  {
                    waitId: `wait-${run.id}`,
                    key: 'a',
                    wait: { kind: 'approval', title: 'Go?', onTimeout: 'fail' },
                    wakeAt: null,
                    at: 1,
                  },
                ],
              }),
            ]),
        ],
        [
          'report to a parent',
          (session, run) =>
            session.append([
              ending({ ...run, id: idBeside(run.id) }, 1, {
                events: [],
                parentInbox: {
                  id: `report-${run.id}`,
                  parentId: run.id,
                  command: {
                    kind: 'child_finished',
                    childId: run.id,
                    key: 'b',
                    round: 1,
                    outcome: 'completed',
                  },
                },
              }),
            ]),
        ],
        ['postpone', (session, run) => session.postpone([{ runId: run.id, wakeAt: null }])],
        ['quarantine', (session, run) => session.quarantine({ runId: run.id, reason: 'stale' })],
      ])('cannot %s', async (_act, write) => {
        const all = opened()
        const run = newRun()
        await all.store.runs.begin(run)
        const command = { id: `of-${run.id}`, runId: run.id, workspace: 'default', actor: 'ann' }
        await all.store.inbox.insert({ ...command, command: { kind: 'cancel' } })
        const before = await whileOwning(all.store, (session) => session.load([run.id]))
        const name = `stale-${run.id}`
        const session = await all.store.openOwner(name)
        await session.claim(EVERY_PARTITION)
        await stop(session, name, all)
        expect(await failureOf(write(session, run))).toBeInstanceOf(SessionLost)
        expect(await whileOwning(all.store, (next) => next.load([run.id]))).toEqual(before)
        expect(await all.store.approvals.get({ workspace: 'default', id: `wait-${run.id}` })).toBeNull()
        await session.close()
      })
    })

    it('leaves all or nothing of a batch whose session is ended while it commits', async () => {
      const { store, sever } = opened()
      const outcomes = new Set<string>()
      for (let turn = 0; turn < 12; turn++) {
        const runs = Array.from({ length: 150 }, () => newRun())
        await Promise.all(runs.map((run) => store.runs.begin(run)))
        const name = `frozen-${turn}`
        const session = await store.openOwner(name)
        await session.claim(EVERY_PARTITION)
        const batch = runs.map((run) => appendOf(run, { events: [stepCompleted('x'.repeat(500))] }))
        const appended = session.append(batch).then(
          () => 'acknowledged',
          (error: unknown) => {
            expect(error).toBeInstanceOf(SessionLost)
            return 'unknown'
          },
        )
        await Promise.all([appended, sever(name)])
        const loaded = await whileOwning(store, (next) => next.load(runs.map((run) => run.id)))
        const lengths = new Set([...loaded.values()].map((run) => run.events.length))
        expect(lengths.size).toBe(1)
        const outcome = await appended
        if (outcome === 'acknowledged') expect(lengths).toEqual(new Set([2]))
        outcomes.add(outcome)
        await session.close()
      }
      expect(outcomes.size).toBeGreaterThan(0)
    })
  })
}
