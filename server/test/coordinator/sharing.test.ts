/** Coordinators share a database: each partition has one owner, and no run notices when it changes (R3, R4). */
import { describe, expect, onTestFinished, test } from 'vitest'
import { tcpProxy } from '../servers/tcp-proxy.ts'
import { fleet, until } from './fleet.ts'

describe('coordinators on one database', () => {
  test('one who comes gets its share while runs go on, and one who goes leaves it to the others', async () => {
    const f = await fleet()
    const first = await f.add()
    await f.divided(16)
    const runs = [...(await f.begin(60))]
    const second = await f.add()
    runs.push(...(await f.begin(60)))
    await f.divided(8, 8)
    await f.add()
    runs.push(...(await f.begin(60)))
    await f.divided(6, 5, 5)
    runs.push(...(await f.begin(60)))
    await first.coordinator.stop()
    await f.divided(0, 8, 8)
    runs.push(...(await f.begin(60)))
    await second.coordinator.stop()
    await f.divided(0, 0, 16)
    await f.completed(runs)
    expect(f.lateCalls).toEqual([])
    expect(f.calls).toHaveLength(runs.length * 3)
  })

  test('what a stopped one had not decided is decided by its heir, without a pause until a timer', async () => {
    const f = await fleet()
    const first = await f.add()
    await f.add()
    await f.divided(8, 8)
    const runs = await f.begin(200)
    await first.coordinator.stop()
    await f.divided(0, 16)
    await f.completed(runs)
    expect(f.lateCalls).toEqual([])
  })

  test('one that fell silent loses its session to a peer, and comes back for its share', async () => {
    const f = await fleet()
    const first = await f.add()
    const frozen = await f.add()
    await f.divided(8, 8)
    const runs = await f.begin(50)
    frozen.isMute = true
    await f.age(frozen, 20_000)
    await first.coordinator.tick()
    await until(() => first.coordinator.partitions().length === 16)
    frozen.isMute = false
    await f.divided(8, 8)
    await f.completed([...runs, ...(await f.begin(50))])
    expect(first.coordinator.trouble()).toBeNull()
    expect(frozen.coordinator.trouble()).toBeNull()
  })

  test('one who could not show itself judges nobody: an outage that silenced all ends no session', async () => {
    const f = await fleet()
    const first = await f.add()
    const second = await f.add()
    await f.divided(8, 8)
    await f.age(first, 20_000)
    await f.age(second, 20_000)
    await first.coordinator.tick()
    expect(second.coordinator.partitions()).toHaveLength(8)
    await second.coordinator.tick()
    await f.divided(8, 8)
  })

  test('a session that breaks is taken up again, and no run is lost or done twice', async () => {
    const f = await fleet()
    const first = await f.add()
    await f.add()
    await f.divided(8, 8)
    const runs = await f.begin(100)
    await f.sever(first)
    await f.completed([...runs, ...(await f.begin(50))])
    await until(() => f.members.every(({ coordinator }) => coordinator.partitions().length === 8))
  })

  test('one whose connections go silent is replaced, lets go by itself, and comes back', async () => {
    const f = await fleet()
    await f.add()
    let isSilent = false
    const verdict = () => (isSilent ? 'drop' : 'pass')
    const watch = () => ({ request: () => (isSilent ? 'drop' : undefined), answer: verdict }) as const
    const url = new URL(f.url)
    const proxy = await tcpProxy(Number(url.port), watch)
    onTestFinished(() => proxy.close())
    url.hostname = '127.0.0.1'
    url.port = `${proxy.port}`
    const { coordinator } = await f.add({ url: url.href })
    await f.divided(8, 8)
    const runs = await f.begin(30)
    isSilent = true
    runs.push(...(await f.begin(30)))
    await f.divided(16, 0)
    await f.completed(runs)
    expect(coordinator.trouble()).not.toBeNull()
    isSilent = false
    await f.divided(8, 8)
    await f.completed(await f.begin(30))
    expect(f.lateCalls).toEqual([])
  })

  test('starts again after a stop', async () => {
    const f = await fleet()
    const { coordinator } = await f.add()
    await coordinator.stop()
    await coordinator.stop()
    expect(coordinator.partitions()).toEqual([])
    await coordinator.start()
    await f.divided(16)
    await f.completed(await f.begin(5))
  })

  test('an engine that shares does not start beside one that does not', async () => {
    const f = await fleet()
    await f.add({ isSharing: false })
    await expect(f.add()).rejects.toMatchObject({ code: 'partitions_taken' })
    await f.members[0]?.coordinator.stop()
    await f.members[1]?.coordinator.start()
    await f.divided(0, 16)
  })
})
