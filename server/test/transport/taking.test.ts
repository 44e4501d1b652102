import type { Task } from '@weft/engine'
import { expect, test } from 'vitest'
import { Taking } from '../../src/transport/redis/taking.ts'
import type { TakenTask } from '../../src/transport/transport.ts'
import { manualClock } from '../coordinator/manual-clock.ts'

const forever = new AbortController().signal

/** A server with endless tasks of these types, and what was given back to it. */
function opened(types: readonly string[]) {
  const clock = manualClock()
  const asked: [string, number][] = []
  const back: string[] = []
  let count = 0
  const taking = new Taking({
    clock,
    async take(_worker, capacity) {
      const taken: TakenTask[] = []
      for (const [type, limit] of capacity) {
        asked.push([type, limit])
        if (!types.includes(type)) continue
        for (let number = 0; number < limit; number++)
          taken.push({ task: { id: `${type}-${++count}`, type } as Task, deliveries: 1 })
      }
      return taken
    },
    async handBack(taskIds) {
      back.push(...taskIds)
    },
  })
  const next = async (capacity: Record<string, number>): Promise<string[]> => {
    const taken = await taking.next('w1', new Map(Object.entries(capacity)), forever)
    return taken.map(({ task }) => task.id)
  }
  return { clock, taking, next, asked, back }
}

/** Consumes quickly, so that the next ones are at hand. */
async function inAHurry(next: (capacity: Record<string, number>) => Promise<string[]>): Promise<string[]> {
  const consumed: string[] = []
  for (let turn = 0; turn < 5; turn++) consumed.push(...(await next({ log: 4 })))
  return consumed
}

test('who takes slowly gets what it asked for, and nothing is kept from others', async () => {
  const { clock, next, asked } = opened(['log'])
  for (let turn = 0; turn < 3; turn++) {
    expect(await next({ log: 2 })).toHaveLength(2)
    clock.advance(1_000)
  }
  expect(asked).toEqual([
    ['log', 2],
    ['log', 2],
    ['log', 2],
  ])
})

test('who takes quickly asks less often, gets every task once and in order', async () => {
  const { next, asked } = opened(['log'])
  const consumed = await inAHurry(next)
  expect(consumed).toEqual(Array.from({ length: 20 }, (_, index) => `log-${index + 1}`))
  expect(asked.length).toBeLessThan(5)
})

test('what is not asked for soon goes back, also while the worker is busy with other types', async () => {
  const { clock, taking, next, asked, back } = opened(['log', 'http'])
  const consumed = await inAHurry(next)
  for (let turn = 0; turn < 20; turn++) {
    expect(await next({ http: 1 })).toHaveLength(1)
    clock.advance(10)
  }
  const brought = asked.reduce((sum, [type, limit]) => sum + (type === 'log' ? limit : 0), 0)
  expect(brought).toBeGreaterThan(consumed.length)
  expect(back.filter((id) => id.startsWith('log'))).toHaveLength(brought - consumed.length)
  await taking.close()
})

test('at the end everything at hand goes back', async () => {
  const { taking, next, asked, back } = opened(['log'])
  const consumed = await inAHurry(next)
  await taking.close()
  const brought = asked.reduce((sum, [, limit]) => sum + limit, 0)
  expect(consumed.length + back.length).toBe(brought)
})

test('a queue that was empty is not asked again before somebody says that it holds something', async () => {
  const { clock, taking, next, asked } = opened(['log'])
  const waiting = next({ none: 1 })
  await Promise.resolve()
  const aborted = new AbortController()
  const other = taking.next('w2', new Map([['none', 1]]), aborted.signal)
  clock.advance(500)
  aborted.abort()
  expect(await other).toEqual([])
  expect(asked.filter(([type]) => type === 'none').length).toBeLessThanOrEqual(2)
  taking.wake('none')
  await taking.close()
  expect(await waiting).toEqual([])
})
