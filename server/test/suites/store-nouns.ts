/** The smaller nouns that runs use: workflows, graphs, blobs, records, variables, answers by idempotency key. */
import { createHash, randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import {
  appendOf,
  finishedRun,
  newRun,
  type Opened,
  START_MS,
  stepCompleted,
  whileOwning,
} from './store-fixture.ts'

type Push = Parameters<Store['workflows']['push']>[0]

export function nounCases(opened: Opened): void {
  describe('workflows', () => {
    const push = (workspace: string, changes: Partial<Push> = {}) =>
      opened().store.workflows.push({
        workspace,
        name: 'orders',
        graph: 'sha256:a',
        definition: { weft: 1, name: 'orders', nodes: {} },
        source: null,
        description: null,
        tags: [],
        at: 5,
        ...changes,
      })

    it('numbers versions, and makes none when nothing changed', async () => {
      const workspace = randomUUID()
      expect(await push(workspace)).toEqual({ version: 1, created: true })
      expect(await push(workspace)).toEqual({ version: 1, created: false })
      expect(await push(workspace, { graph: 'sha256:b' })).toEqual({ version: 2, created: true })
      expect(await push(workspace, { graph: 'sha256:b', source: '# a comment' })).toEqual({
        version: 3,
        created: true,
      })
      expect(await push(workspace)).toEqual({ version: 4, created: true })
    })

    it('gives numbers without holes or repeats to pushes that come at once', async () => {
      const workspace = randomUUID()
      const pushed = await Promise.all(
        Array.from({ length: 12 }, (_, index) => push(workspace, { graph: `g${index}` })),
      )
      expect(pushed.map((answer) => answer.version).toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: 12 }, (_, index) => index + 1),
      )
    })

    it('resolves a bare name, a tag and a version; `latest` follows the pushes until it is moved', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      await push(workspace, { graph: 'one', tags: ['prod'], source: 'text # kept\n', description: 'First.' })
      await push(workspace, { graph: 'two' })
      const graphOf = async (reference: string) =>
        (await store.workflows.get({ workspace, reference }))?.graph
      expect(await graphOf('orders')).toBe('two')
      expect(await graphOf('orders@latest')).toBe('two')
      expect(await graphOf('orders@prod')).toBe('one')
      expect(await graphOf('orders@1')).toBe('one')
      expect(await graphOf('orders@9')).toBeUndefined()
      expect(await graphOf('orders@canary')).toBeUndefined()
      expect(await graphOf('unknown')).toBeUndefined()
      expect(await store.workflows.tag({ workspace, name: 'orders', tag: 'latest', version: 1 })).toBe(true)
      expect(await store.workflows.tag({ workspace, name: 'orders', tag: 'latest', version: 7 })).toBe(false)
      expect(await store.workflows.get({ workspace, reference: 'orders' })).toEqual({
        name: 'orders',
        version: 1,
        tags: ['latest', 'prod'],
        graph: 'one',
        description: 'First.',
        source: 'text # kept\n',
        definition: { weft: 1, name: 'orders', nodes: {} },
        createdAt: 5,
      })
    })

    it('moves a tag to an unchanged version without making another', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      await push(workspace)
      expect(await push(workspace, { tags: ['prod'] })).toEqual({ version: 1, created: false })
      expect((await store.workflows.get({ workspace, reference: 'orders@prod' }))?.version).toBe(1)
    })

    it('lists the newest version of each, by name, in pages, and all versions of one', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      for (const name of ['c', 'a', 'b', 'a']) await push(workspace, { name, graph: randomUUID() })
      const first = await store.workflows.list({ workspace, limit: 2 })
      expect(first.items.map((item) => [item.name, item.version, item.tags])).toEqual([
        ['a', 2, ['latest']],
        ['b', 1, ['latest']],
      ])
      const second = await store.workflows.list({ workspace, limit: 2, cursor: first.nextCursor as string })
      expect(second.items.map((item) => item.name)).toEqual(['c'])
      expect(second.nextCursor).toBeNull()
      expect((await store.workflows.versions({ workspace, name: 'a' })).map((item) => item.version)).toEqual([
        2, 1,
      ])
    })

    it('deletes a workflow with its versions and tags, in its workspace only; its runs stay', async () => {
      const { store } = opened()
      const [workspace, other] = [randomUUID(), randomUUID()]
      await push(workspace)
      await push(other)
      const run = await finishedRun(store, { workspace })
      expect(await store.workflows.delete({ workspace, name: 'orders' })).toBe(true)
      expect(await store.workflows.delete({ workspace, name: 'orders' })).toBe(false)
      expect(await store.workflows.get({ workspace, reference: 'orders' })).toBeNull()
      expect(await store.workflows.versions({ workspace, name: 'orders' })).toEqual([])
      expect(await store.workflows.get({ workspace: other, reference: 'orders' })).not.toBeNull()
      expect(await store.runs.get({ workspace, id: run.id })).not.toBeNull()
    })
  })

  describe('graphs', () => {
    it('keeps a definition by its hash, as it was written', async () => {
      const { store } = opened()
      const hash = randomUUID()
      const definition = JSON.parse('{"z":1,"a":{"__proto__":"\\u0000"},"n":1e300}')
      await store.graphs.put({ hash, definition })
      await store.graphs.put({ hash, definition: 'another' })
      expect(JSON.stringify(await store.graphs.get(hash))).toBe(JSON.stringify(definition))
      expect(await store.graphs.get(randomUUID())).toBeNull()
    })
  })

  describe('blobs', () => {
    it('names bytes by their hash, and gives them to their own workspace only', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      const bytes = Uint8Array.from([0, 255, 10, 0])
      const put = () => store.blobs.put({ workspace, bytes, contentType: 'image/png', at: 1 })
      const [ref, again] = await Promise.all([put(), put()])
      expect(ref).toEqual({
        $blob: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
        bytes: 4,
        contentType: 'image/png',
      })
      expect(again).toEqual(ref)
      const stored = await store.blobs.get({ workspace, hash: ref.$blob })
      expect([...(stored?.bytes ?? [])]).toEqual([0, 255, 10, 0])
      expect(stored?.contentType).toBe('image/png')
      expect(await store.blobs.get({ workspace: 'other', hash: ref.$blob })).toBeNull()
    })
  })

  describe('records', () => {
    const record = { key: 'call', round: 1, name: 'charge', at: 1 }

    it('keeps the first value of a name, which the loser gets (R7)', async () => {
      const { store } = opened()
      const { id: runId } = await finishedRun(store)
      const once = (value: number, attempt = 1) => store.records.once({ ...record, runId, attempt, value })
      const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => once(index)))
      expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1)
      expect(await once(99, 2)).toEqual(answers[0])
      expect(await store.records.get({ runId, key: 'call', round: 1, name: 'charge' })).toEqual(answers[0])
      expect(await store.records.get({ runId, key: 'call', round: 2, name: 'charge' })).toBeNull()
    })

    it('refuses an attempt that a newer one has replaced, in its round only', async () => {
      const { store } = opened()
      const { id: runId } = await finishedRun(store)
      await store.records.once({ ...record, runId, attempt: 2, value: 'newer' })
      expect(await store.records.once({ ...record, runId, name: 'other', attempt: 1, value: 1 })).toEqual({
        refused: true,
      })
      expect(await store.records.once({ ...record, runId, attempt: 1, value: 1 })).toEqual({ refused: true })
      expect(await store.records.once({ ...record, runId, round: 2, attempt: 1, value: 'x\0' })).toEqual({
        value: 'x\0',
      })
      expect(await store.records.get({ runId, key: 'call', round: 2, name: 'charge' })).toEqual({
        value: 'x\0',
      })
    })

    it('tells by whom a round of a step, or of an item, was completed in the log', async () => {
      const { store } = opened()
      const run = newRun()
      await store.runs.begin(run)
      const asked = { runId: run.id, key: 'fetch', round: 1 }
      expect(await store.records.completion(asked)).toBeNull()
      await whileOwning(store, (session) =>
        session.append([appendOf(run, { events: [{ ...stepCompleted('\0 \ud800'), ...{ worker: 'w1' } }] })]),
      )
      expect(await store.records.completion(asked)).toEqual({ attempt: 1, worker: 'w1' })
      for (const other of [{ round: 2 }, { key: 'fetch[0]' }, { runId: 'nonsense' }])
        expect(await store.records.completion({ ...asked, ...other })).toBeNull()
      const repeated = {
        type: 'step.repeated',
        at: START_MS + 2,
        key: 'poll',
        round: 1,
        output: 1,
        nextAt: START_MS + 3,
      } as const
      await whileOwning(store, (session) =>
        session.append([appendOf(run, { firstSeq: 3, events: [repeated] })]),
      )
      const round = { runId: run.id, key: 'poll', round: 1 }
      expect(await store.records.completion(round)).toEqual({ attempt: null, worker: null })
      expect(await store.records.completion({ ...round, round: 2 })).toBeNull()
    })

    it('keeps null as a value', async () => {
      const { store } = opened()
      const { id: runId } = await finishedRun(store)
      expect(await store.records.once({ ...record, runId, attempt: 1, value: null })).toEqual({ value: null })
      expect(await store.records.get({ runId, key: 'call', round: 1, name: 'charge' })).toEqual({
        value: null,
      })
    })
  })

  describe('variables', () => {
    it('sets, replaces, reads by name and removes', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      await store.variables.set({ workspace, name: 'region', value: 'eu', at: 1 })
      await store.variables.set({ workspace, name: 'region', value: { b: 1, a: '123' }, at: 2 })
      await store.variables.set({ workspace, name: 'none', value: null, at: 3 })
      expect(await store.variables.get({ workspace, names: ['region', 'none', 'missing'] })).toEqual({
        region: { b: 1, a: '123' },
        none: null,
      })
      expect(await store.variables.get({ workspace, names: [] })).toEqual({})
      expect(await store.variables.get({ workspace: 'other', names: ['region'] })).toEqual({})
      expect(await store.variables.list({ workspace })).toEqual([
        { name: 'none', value: null, updatedAt: 3 },
        { name: 'region', value: { b: 1, a: '123' }, updatedAt: 2 },
      ])
      expect(await store.variables.delete({ workspace, name: 'none' })).toBe(true)
      expect(await store.variables.delete({ workspace, name: 'none' })).toBe(false)
    })
  })

  describe('answers by idempotency key', () => {
    const asked = () => ({
      workspace: 'default',
      route: 'POST /workflows',
      key: randomUUID(),
      bodyHash: 'one',
    })

    it('remembers the first answer, refuses another body, forgets after its time', async () => {
      const { idempotency } = opened().store
      const request = asked()
      expect(await idempotency.recall(request)).toEqual({ kind: 'none' })
      const outcomes = await Promise.all(
        [1, 2, 3].map((answer) => idempotency.remember({ ...request, answer, at: 5 })),
      )
      expect(outcomes.filter((outcome) => outcome.kind === 'stored')).toHaveLength(1)
      const winner = outcomes.findIndex((outcome) => outcome.kind === 'stored') + 1
      expect(outcomes.filter((outcome) => outcome.kind === 'exists')).toEqual([
        { kind: 'exists', answer: winner },
        { kind: 'exists', answer: winner },
      ])
      expect(await idempotency.recall(request)).toEqual({ kind: 'exists', answer: winner })
      expect(await idempotency.recall({ ...request, bodyHash: 'two' })).toEqual({ kind: 'key_reused' })
      expect(await idempotency.remember({ ...request, bodyHash: 'two', answer: 1, at: 6 })).toEqual({
        kind: 'key_reused',
      })
      expect(await idempotency.expire({ before: 5 })).toBe(0)
      expect(await idempotency.expire({ before: 6 })).toBe(1)
      expect(await idempotency.recall(request)).toEqual({ kind: 'none' })
    })
  })
}
