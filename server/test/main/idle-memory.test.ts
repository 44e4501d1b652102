import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { createIdleMemory, ownHeap } from '../../src/idle-memory.ts'

const MEBIBYTE = 1024 * 1024

function ground() {
  const heap = { busy: 0, held: 200 * MEBIBYTE, collections: 0 }
  const memory = createIdleMemory({
    clock: systemClock(),
    heap: {
      busyShare: () => heap.busy,
      heldBytes: () => heap.held,
      collect() {
        heap.collections++
        heap.held = 40 * MEBIBYTE
      },
    },
  })
  const tick = (busy: number, heldMebibytes?: number): number => {
    heap.busy = busy
    if (heldMebibytes !== undefined) heap.held = heldMebibytes * MEBIBYTE
    memory.tick()
    return heap.collections
  }
  return tick
}

describe('memory that a burst has left', () => {
  test('is given back once the process rests, and not before', () => {
    const tick = ground()
    expect(tick(0.9)).toBe(0)
    expect(tick(0.2)).toBe(0)
    expect(tick(0.01)).toBe(1)
  })

  test('is given back once per burst: a process at rest is left alone', () => {
    const tick = ground()
    tick(0.9)
    expect(tick(0)).toBe(1)
    expect(tick(0, 300)).toBe(1)
    tick(0.9)
    expect(tick(0, 300)).toBe(2)
  })

  test('a small heap is not worth the pause', () => {
    const tick = ground()
    tick(0.9)
    expect(tick(0, 50)).toBe(0)
  })
})

test('the collection of this process works without a flag at its start', () => {
  const heap = ownHeap()
  let garbage: number[][] | null = Array.from({ length: 200 }, () => new Array<number>(20_000).fill(1.5))
  const held = heap.heldBytes()
  expect(garbage.length).toBe(200)
  garbage = null
  heap.collect()
  expect(heap.heldBytes()).toBeLessThan(held)
})
