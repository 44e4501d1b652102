import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { memoryTransport } from '../../src/transport/memory.ts'
import { taskOf, transportSuite } from '../suites/transport.ts'

const LEASE_MS = 1_000

function openMemory() {
  let elapsedMs = 0
  const clock = { ...systemClock(), monotonic: () => elapsedMs }
  const transport = memoryTransport({ clock, leaseMs: LEASE_MS })
  const turn = (ms: number): Promise<void> => {
    elapsedMs += ms
    return transport.tasks.reap()
  }
  return { transport, turn }
}

transportSuite('memory', async () => {
  const { transport, turn } = openMemory()
  return {
    transport,
    async lapse() {
      for (let step = 0; step < 3; step++) await turn(LEASE_MS / 2)
    },
    close: () => transport.close(),
  }
})

describe('transport: memory, alone', () => {
  const task = taskOf('0199-1', 'a')
  const take = (transport: ReturnType<typeof memoryTransport>) =>
    transport.tasks.take('w1', new Map([['log', 1]]), new AbortController().signal)

  it('loses nobody to a pause of the whole process, in which no worker could beat', async () => {
    const { transport, turn } = openMemory()
    await transport.tasks.publish([task])
    await take(transport)
    await turn(60 * LEASE_MS)
    expect(await transport.tasks.inspect([task.id])).toEqual(new Map([[task.id, 'taken']]))
    await turn(1)
    expect((await transport.tasks.inspect([task.id])).size).toBe(0)
  })

  it('prolongs by a heartbeat, and only the tasks that were named', async () => {
    const { transport, turn } = openMemory()
    const other = taskOf('0199-1', 'b')
    await transport.tasks.publish([task, other])
    await transport.tasks.take('w1', new Map([['log', 2]]), new AbortController().signal)
    await turn(LEASE_MS / 2)
    await transport.tasks.heartbeat('w1', [task])
    await turn(LEASE_MS / 2)
    expect(await transport.tasks.inspect([task.id, other.id])).toEqual(new Map([[task.id, 'taken']]))
  })

  it('wakes a waiting worker without a turn of the timers', async () => {
    const { transport } = openMemory()
    const order: string[] = []
    const waiting = take(transport).then(() => order.push('taken'))
    setImmediate(() => order.push('next turn'))
    await transport.tasks.publish([task])
    await waiting
    await new Promise((resolve) => setImmediate(resolve))
    expect(order).toEqual(['taken', 'next turn'])
  })
})
