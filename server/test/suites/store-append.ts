/** What one batch decides is written whole or not at all, and reads back as it was. */
import { randomUUID } from 'node:crypto'
import type { Json } from '@weft/engine'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AppendConflict, type LoadedRun, RowRefused } from '../../src/store/store.ts'
import {
  appendOf,
  EVERY_PARTITION,
  ending,
  failureOf,
  idBeside,
  newRun,
  type Opened,
  paused,
  START_MS,
  stepCompleted,
  whileOwning,
} from './store-fixture.ts'

/** Values that storage likes to change: NUL, half surrogates, `__proto__`, key order, numbers at the edge. */
const AWKWARD: Json[] = [
  'a\0b',
  '\ud800',
  '\udfff and \ud83d\ude00',
  '9007199254740993',
  9007199254740991,
  1e308,
  5e-324,
  0.1,
  '{"a":1}',
  '123',
  'null',
  null,
  '\\u0000 "quoted" {braces} ,',
  JSON.parse('{"__proto__":{"polluted":true},"z":1,"a":2,"10":3}') as Json,
  [[], {}, [null, [null]]],
]

const awkwardText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('\0', '\ud800', '\udc00', '__proto__', '\\', '"', '{', '\\u0000'),
)
/**
 * Keys as text, but none that begins with a backslash: after one such key V8's `JSON.parse` (13.6) reads another key of
 * that length that is written with escapes as the first one, so that no process can read them back, whatever stored them.
 */
const awkwardKey = awkwardText.filter((text) => !text.startsWith('\\'))
const anyJson: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    awkwardText,
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? 0 : value)),
    fc.maxSafeInteger(),
    fc.constantFrom(true, false, null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .array(fc.tuple(awkwardKey, tie('value')), { maxLength: 4 })
      .map((entries) => Object.fromEntries(entries) as Json),
  ),
})).value

export function appendCases(opened: Opened): void {
  const load = async (runIds: readonly string[]): Promise<Map<string, LoadedRun>> =>
    whileOwning(opened().store, (session) => session.load(runIds))

  describe('append', () => {
    it('writes the events and what lists show of the run', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const events = [paused(START_MS + 1), stepCompleted({ a: 1 }, START_MS + 2)]
      await whileOwning(store, (session) =>
        session.append([
          appendOf(run, {
            events,
            status: 'waiting',
            waitingFor: ['timer', 'approval'],
            wakeAt: START_MS + 60,
          }),
        ]),
      )
      const loaded = (await load([run.id])).get(run.id)
      expect(loaded?.events.map(({ seq, event }) => [seq, event])).toEqual([
        [1, run.started],
        [2, events[0]],
        [3, events[1]],
      ])
      expect(loaded?.row).toMatchObject({
        status: 'waiting',
        waitingFor: ['timer', 'approval'],
        wakeAt: START_MS + 60,
        seq: 3,
      })
    })

    it('ends a run with its output, and names no wake time for it', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      await whileOwning(store, (session) => session.append([ending(run, START_MS + 7)]))
      expect(await store.runs.get({ workspace: 'default', id: run.id })).toMatchObject({
        status: 'completed',
        output: { ok: true },
        error: null,
        finishedAt: START_MS + 7,
        wakeAt: null,
      })
    })

    it('keeps the end of a run that only answers a late command', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      await whileOwning(store, async (session) => {
        await session.append([ending(run)])
        await session.append([
          appendOf(run, { firstSeq: 3, events: [], status: 'completed', waitingFor: [] }),
        ])
      })
      expect(await store.runs.get({ workspace: 'default', id: run.id })).toMatchObject({
        status: 'completed',
        output: { ok: true },
        finishedAt: START_MS + 5,
      })
    })

    it('leaves the wake time where the batch does not move it', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      await whileOwning(store, (session) => session.append([appendOf(run)]))
      expect((await load([run.id])).get(run.id)?.row.wakeAt).toBe(START_MS + 10_000)
    })

    it('commits hundreds of runs in one batch', async () => {
      const { store } = opened()
      const runs = Array.from({ length: 300 }, () => newRun())
      await Promise.all(runs.map((run) => store.runs.begin(run)))
      await whileOwning(store, (session) =>
        session.append(runs.map((run, index) => appendOf(run, { events: [stepCompleted(index)] }))),
      )
      const loaded = await load(runs.map((run) => run.id))
      for (const [index, run] of runs.entries()) {
        expect(loaded.get(run.id)?.events.at(-1)?.event).toEqual(stepCompleted(index))
      }
    })

    it('loads a long log whole and in order, beside short ones', async () => {
      const { store } = opened()
      const long = newRun()
      const short = newRun()
      await store.runs.begin(long)
      await store.runs.begin(short)
      const events = Array.from({ length: 2_500 }, (_, index) => stepCompleted(index))
      await whileOwning(store, (session) => session.append([appendOf(long, { events }), appendOf(short)]))
      const loaded = await load([short.id, long.id, randomUUID(), 'nonsense'])
      expect(new Set(loaded.keys())).toEqual(new Set([short.id, long.id]))
      expect(loaded.get(long.id)?.events.map(({ seq }) => seq)).toEqual(
        Array.from({ length: 2_501 }, (_, index) => index + 1),
      )
      expect(loaded.get(short.id)?.events).toHaveLength(2)
    })

    it('names the run whose event number is taken, and writes nothing of the batch (R3)', async () => {
      const { store } = opened()
      const [stale, innocent] = [newRun(), newRun()]
      await store.runs.begin(stale)
      await store.runs.begin(innocent)
      const failure = await whileOwning(store, (session) =>
        failureOf(session.append([appendOf(innocent), appendOf(stale, { firstSeq: 1 })])),
      )
      expect(failure).toBeInstanceOf(AppendConflict)
      expect((failure as AppendConflict).runId).toBe(stale.id)
      const loaded = await load([stale.id, innocent.id])
      expect(loaded.get(stale.id)?.events).toHaveLength(1)
      expect(loaded.get(innocent.id)?.events).toHaveLength(1)
      expect(loaded.get(innocent.id)?.row.status).toBe('queued')
    })

    it('tells a value that cannot be stored from a broken session, and goes on with the next batch (R16)', async () => {
      const { store } = opened()
      const [bad, good] = [newRun(), newRun()]
      await store.runs.begin(bad)
      await store.runs.begin(good)
      await whileOwning(store, async (session) => {
        // A text column, unlike JSON text, cannot hold NUL.
        const refused = appendOf(bad, { graph: 'sha256:\0' })
        expect(await failureOf(session.append([appendOf(good), refused]))).toBeInstanceOf(RowRefused)
        await session.append([appendOf(good)])
      })
      const loaded = await load([bad.id, good.id])
      expect(loaded.get(bad.id)?.events).toHaveLength(1)
      expect(loaded.get(good.id)?.events).toHaveLength(2)
    })

    it('gives every value back as it was written (R1)', async () => {
      const { store } = opened()
      const run = newRun({ started: { input: AWKWARD } })
      await store.runs.begin(run)
      await whileOwning(store, (session) =>
        session.append([
          appendOf(run, {
            events: AWKWARD.map((value) => stepCompleted(value)),
            status: 'completed',
            finished: { at: START_MS, output: AWKWARD, error: null },
          }),
        ]),
      )
      const loaded = (await load([run.id])).get(run.id)
      expect(JSON.stringify(loaded?.row.input)).toBe(JSON.stringify(AWKWARD))
      expect(JSON.stringify(loaded?.row.output)).toBe(JSON.stringify(AWKWARD))
      const outputs = loaded?.events.slice(1).map(({ event }) => (event as { output: Json }).output)
      expect(JSON.stringify(outputs)).toBe(JSON.stringify(AWKWARD))
    })

    it('gives any JSON value back as it was written (R1)', async () => {
      const { store } = opened()
      await whileOwning(store, (session) =>
        fc.assert(
          fc.asyncProperty(fc.array(anyJson, { minLength: 1, maxLength: 8 }), async (values) => {
            const run = newRun()
            await store.runs.begin(run)
            await session.append([appendOf(run, { events: values.map((value) => stepCompleted(value)) })])
            const log = (await session.load([run.id])).get(run.id)?.events.slice(1) ?? []
            const outputs = log.map(({ event }) => (event as { output: Json }).output)
            expect(JSON.stringify(outputs)).toBe(JSON.stringify(values))
          }),
          { numRuns: 60 },
        ),
      )
    })

    it('changes the graph with a patch', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      await whileOwning(store, (session) => session.append([appendOf(run, { graph: 'sha256:patched' })]))
      expect((await load([run.id])).get(run.id)?.row.graph).toBe('sha256:patched')
    })
  })

  describe('waits', () => {
    const approval = (title: string) => ({
      kind: 'approval' as const,
      title,
      body: '**Really?**',
      form: { type: 'object' },
      assignees: ['ann', 'b"o\\b, {x}'],
      onTimeout: 'reject' as const,
    })
    const opening = (waitId: string, title = 'Release?') => ({
      waitId,
      key: 'sign_off',
      wait: approval(title),
      wakeAt: START_MS + 1000,
      at: START_MS,
    })

    it('opens an approval for the inbox and closes it with who decided', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const id = randomUUID()
      await whileOwning(store, async (session) => {
        await session.append([appendOf(run, { waitsOpened: [opening(id)] })])
        expect(await store.approvals.get({ workspace: 'default', id })).toEqual({
          id,
          runId: run.id,
          workspace: 'default',
          key: 'sign_off',
          status: 'open',
          title: 'Release?',
          body: '**Really?**',
          form: { type: 'object' },
          assignees: ['ann', 'b"o\\b, {x}'],
          openedAt: START_MS,
          expiresAt: START_MS + 1000,
          closedAt: null,
          actor: null,
          patch: null,
        })
        const waitsClosed = [{ waitId: id, outcome: 'approved', actor: 'ann', at: START_MS + 9 }]
        await session.append([appendOf(run, { firstSeq: 3, waitsClosed })])
      })
      expect(await store.approvals.get({ workspace: 'default', id })).toMatchObject({
        status: 'approved',
        closedAt: START_MS + 9,
        actor: 'ann',
      })
      expect(await store.approvals.get({ workspace: 'other', id })).toBeNull()
    })

    it('keeps the patch that an approval is about, which no step has to ask', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const id = randomUUID()
      const patch = { reason: 'it looks odd', operations: [{ op: 'remove', path: '/nodes/a\u0000b' }] }
      await whileOwning(store, async (session) => {
        const proposed = { ...opening(id), key: null, wakeAt: null, patch }
        await session.append([appendOf(run, { waitsOpened: [proposed] })])
        const waitsClosed = [{ waitId: id, outcome: 'refused', actor: 'ann', at: START_MS + 9 }]
        await session.append([appendOf(run, { firstSeq: 3, waitsClosed })])
      })
      expect(await store.approvals.get({ workspace: 'default', id })).toMatchObject({
        key: null,
        expiresAt: null,
        status: 'refused',
        actor: 'ann',
        patch,
      })
    })

    it('keeps an approval that opened and closed in one batch closed', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const id = randomUUID()
      const waitsClosed = [{ waitId: id, outcome: 'closed', actor: null, at: START_MS + 1 }]
      await whileOwning(store, (session) =>
        session.append([appendOf(run, { waitsOpened: [opening(id)], waitsClosed })]),
      )
      expect(await store.approvals.get({ workspace: 'default', id })).toMatchObject({
        status: 'closed',
        closedAt: START_MS + 1,
      })
    })

    it('marks a closed approval superseded when its run is retried, and remembers when it closed', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const id = randomUUID()
      const closing = (outcome: string, at: number) => [{ waitId: id, outcome, actor: null, at }]
      await whileOwning(store, async (session) => {
        await session.append([appendOf(run, { waitsOpened: [opening(id)] })])
        await session.append([appendOf(run, { firstSeq: 3, waitsClosed: closing('closed', START_MS + 1) })])
        await session.append([
          appendOf(run, { firstSeq: 4, waitsClosed: closing('superseded', START_MS + 2) }),
        ])
      })
      expect(await store.approvals.get({ workspace: 'default', id })).toMatchObject({
        status: 'superseded',
        closedAt: START_MS + 1,
      })
    })

    it('shows a title with NUL instead of stopping the run', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const id = randomUUID()
      await whileOwning(store, (session) =>
        session.append([appendOf(run, { waitsOpened: [opening(id, 'a\0b')] })]),
      )
      expect((await store.approvals.get({ workspace: 'default', id }))?.title).toBe('a\uFFFDb')
    })

    it('pages through approvals, newest first, by status and by run', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      const [run, other] = [newRun({ workspace }), newRun({ workspace })]
      await store.runs.begin(run)
      await store.runs.begin(other)
      const ids = Array.from({ length: 5 }, () => randomUUID())
      const waitsOpened = ids.map((id, index) => ({ ...opening(id), at: START_MS + (index >> 1) }))
      const waitsClosed = [{ waitId: ids[4] as string, outcome: 'rejected', actor: 'bob', at: START_MS + 9 }]
      await whileOwning(store, (session) =>
        session.append([
          appendOf(run, { waitsOpened, waitsClosed }),
          appendOf(other, { waitsOpened: [opening(randomUUID())] }),
        ]),
      )
      const first = await store.approvals.list({ workspace, runId: run.id, status: 'open', limit: 3 })
      const second = await store.approvals.list({
        workspace,
        runId: run.id,
        status: 'open',
        limit: 3,
        cursor: first.nextCursor as string,
      })
      expect(new Set([...first.items, ...second.items].map((row) => row.id))).toEqual(
        new Set(ids.slice(0, 4)),
      )
      expect(second.nextCursor).toBeNull()
      expect((await store.approvals.list({ workspace, limit: 10 })).items).toHaveLength(6)
      expect((await store.approvals.list({ workspace, status: 'rejected', limit: 10 })).items).toMatchObject([
        { actor: 'bob' },
      ])
    })
  })

  describe('a child that ends', () => {
    const child = (parent: { id: string }) => {
      const link = { runId: parent.id, key: 'body', round: 1, rootId: parent.id, depth: 1 }
      return newRun({ id: idBeside(parent.id), started: { parent: link } })
    }
    const report = (parentId: string, childId: string) => ({
      id: `report-${childId}`,
      parentId,
      command: {
        kind: 'child_finished' as const,
        childId,
        key: 'body',
        round: 1,
        outcome: 'completed' as const,
        output: 1,
      },
    })

    it('puts its result into the inbox of its parent in the same statement, and makes the parent due (R15)', async () => {
      const { store } = opened()
      const parent = newRun()
      const run = child(parent)
      await store.runs.begin(parent)
      await store.runs.begin(run)
      await whileOwning(store, async (session) => {
        await session.append([appendOf(parent, { wakeAt: null })])
        await session.append([ending(run, START_MS + 5, { parentInbox: report(parent.id, run.id) })])
        expect((await session.inbox([parent.id])).get(parent.id)).toMatchObject([
          { id: `report-${run.id}`, command: { kind: 'child_finished', childId: run.id, output: 1 } },
        ])
        const due = await session.due({ partitions: EVERY_PARTITION, now: START_MS - 1, limit: 10_000 })
        expect(due.map((row) => row.runId)).toContain(parent.id)
      })
    })

    it('reports to a parent that is in the same batch, which stays due whatever the batch says', async () => {
      const { store } = opened()
      const parent = newRun()
      const children = [child(parent), child(parent)]
      for (const run of [parent, ...children]) await store.runs.begin(run)
      await whileOwning(store, async (session) => {
        await session.append([
          appendOf(parent, { status: 'waiting', waitingFor: ['child'], wakeAt: null }),
          ...children.map((run) => ending(run, START_MS + 5, { parentInbox: report(parent.id, run.id) })),
        ])
        const loaded = (await session.load([parent.id])).get(parent.id)
        expect(loaded?.row).toMatchObject({ status: 'waiting', waitingFor: ['child'], seq: 2 })
        expect(loaded?.row.wakeAt).toBeLessThan(START_MS)
        expect(loaded?.inbox).toHaveLength(2)
      })
    })

    it('reports once, however often the statement is repeated, and to nobody when the parent is gone', async () => {
      const { store } = opened()
      const parent = newRun()
      const [run, orphan] = [child(parent), child({ id: randomUUID() })]
      for (const each of [parent, run, orphan]) await store.runs.begin(each)
      await whileOwning(store, async (session) => {
        await session.append([ending(run, START_MS + 5, { parentInbox: report(parent.id, run.id) })])
        await session.append([
          ending(run, START_MS + 6, { firstSeq: 3, parentInbox: report(parent.id, run.id) }),
        ])
        const gone = orphan.started.parent?.runId as string
        await session.append([ending(orphan, START_MS + 5, { parentInbox: report(gone, orphan.id) })])
        const inbox = await session.inbox([parent.id, gone])
        expect(inbox.get(parent.id)).toHaveLength(1)
        expect(inbox.get(gone)).toBeUndefined()
      })
    })
  })
}
