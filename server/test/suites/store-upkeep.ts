/** What people and the start of a process need of a store, beside what runs do. */
import { randomUUID } from 'node:crypto'
import type { NodeTypeInfo } from '@weft/engine'
import { describe, expect, it } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import type { Opened } from './store-fixture.ts'

export function upkeepCases(opened: Opened<Store>): void {
  describe('node types', () => {
    const info = (type: string, title = type): NodeTypeInfo => ({
      type,
      title,
      description: '',
      kind: 'task',
      labels: [],
      success: [],
      effect: 'pure',
      retry: { attempts: 1, delayMs: 0, factor: 1, maxDelayMs: 0 },
      timeoutMs: null,
      fields: {},
      config: { type: 'object' },
    })

    it('collects the types of all workers; the last description of a type counts', async () => {
      const { store } = opened()
      const workspace = randomUUID()
      await Promise.all([
        store.nodeTypes.register({ workspace, types: [info('http'), info('log')], at: 1 }),
        store.nodeTypes.register({ workspace, types: [info('log'), info('http'), info('code')], at: 1 }),
      ])
      await store.nodeTypes.register({ workspace, types: [info('log', 'Log')], at: 2 })
      await store.nodeTypes.register({ workspace, types: [], at: 3 })
      expect(await store.nodeTypes.list({ workspace })).toEqual([
        info('code'),
        info('http'),
        info('log', 'Log'),
      ])
      expect(await store.nodeTypes.list({ workspace: randomUUID() })).toEqual([])
    })
  })

  describe('keys', () => {
    it('makes a workspace with its key, once, and finds it by the hash', async () => {
      const { store } = opened()
      const [workspace, hash] = [randomUUID(), randomUUID()]
      await store.keys.ensure({ workspace, hash, name: 'first', role: 'viewer', at: 1 })
      await store.keys.ensure({ workspace, hash, name: 'first', role: 'admin', at: 2 })
      expect(await store.keys.find(hash)).toMatchObject({
        workspace,
        name: 'first',
        role: 'admin',
        expiresAt: null,
      })
      expect(await store.keys.find(randomUUID())).toBeNull()
    })
  })

  describe('holds', () => {
    it('last until somebody resumes, also for a process that did not ask meanwhile', async () => {
      const { store } = opened()
      const [one, other] = [
        { id: randomUUID(), name: 'one' },
        { id: randomUUID(), name: 'other' },
      ]
      expect(await store.holds.beat(one)).toEqual({ isResumed: false })
      await store.holds.beat(other)
      expect(await store.holds.beat(one)).toEqual({ isResumed: false })
      expect((await store.holds.list()).map(({ name }) => name)).toEqual(['one', 'other'])
      expect(await store.holds.resume()).toEqual(['one', 'other'])
      expect([await store.holds.list(), await store.holds.resume()]).toEqual([[], []])
      expect(await store.holds.beat(other)).toEqual({ isResumed: true })
      // A start after that is another process's.
      await store.holds.leave(one)
      expect(await store.holds.beat(one)).toEqual({ isResumed: false })
      for (const { id } of [one, other]) await store.holds.leave({ id })
    })
  })

  describe('the database', () => {
    it('answers, and tells its version, clock and settings', async () => {
      const { store } = opened()
      await store.ping()
      const described = await store.describe()
      expect(described.version).not.toBe('')
      expect(described.nowMs).toBeGreaterThan(1_700_000_000_000)
    })
  })
}
