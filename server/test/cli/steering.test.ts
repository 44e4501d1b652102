/** What steers many runs, a past, and who may call, by the real program: dead letters, bulk commands, forks, keys. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'
import { type Ended, weft as program } from '../weft-program.ts'

const WORKFLOWS = {
  fails: 'weft: 1\nname: fails\nnodes:\n  boom: { type: fail, with: { message: it broke } }\n',
  asks: 'weft: 1\nname: asks\nnodes:\n  ask: { type: approval, with: { title: "Release it?" } }\n',
  chain: `weft: 1
name: chain
nodes:
  greet: { type: log, with: { message: "Hello, \${{ input.name }}!" } }
  tell: { type: log, needs: greet, with: { message: "told: \${{ steps.greet.output.message }}" } }
`,
}

/** A server with a database of its own, and the program that finds it by the folder it is called in. */
class Ground {
  #folder = ''
  #database: TestDatabase | undefined
  #weft: Weft | undefined

  async start(environment: Readonly<Record<string, string>>): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), 'weft-steering-'))
    this.#database = await testDatabase()
    const read = readConfig({
      flags: {
        dataDirectory: join(this.#folder, '.weft'),
        databaseUrl: this.#database.url,
        port: '0',
        logLevel: 'silent',
      },
      environment,
    })
    if (!read.ok) throw new Error(read.problems.join('\n'))
    this.#weft = await startWeft(read.config)
    for (const [name, text] of Object.entries(WORKFLOWS))
      await writeFile(join(this.#folder, `${name}.yaml`), text)
  }

  async stop(): Promise<void> {
    await this.#weft?.stop()
    await this.#database?.drop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  cli = (...args: string[]): Promise<Ended> => program(args, this.#folder, {})

  /** Starts a run as told and answers its id. */
  async run(...args: string[]): Promise<string> {
    const { out, err } = await this.cli('run', ...args, '--json')
    if (out === '') throw new Error(err)
    return JSON.parse(out).id
  }

  /** Resolves when the run's log has an event of this type. */
  async logs(id: string, type: string): Promise<void> {
    while (!(await this.cli('logs', id, '--json')).out.includes(type));
  }
}

const idsOf = (out: string): string[] => out.match(/[0-9a-f]{8}-[0-9a-f-]{27}/g) ?? []

describe('on a server', () => {
  const ground = new Ground()
  const { cli } = ground
  beforeAll(() => ground.start({}))
  afterAll(() => ground.stop())

  test('dead letters are listed, shown and replayed, one or many, and a dry run touches none', async () => {
    const ids = (await Promise.all([ground.run('fails.yaml'), ground.run('fails.yaml')])).sort()
    const letters = JSON.parse((await cli('dlq', 'list', '-w', 'fails', '--json')).out)
    expect(letters.map(({ runId }: { runId: string }) => runId).sort()).toEqual(ids)
    expect((await cli('dlq', 'list', '--step', 'boom')).out).toMatch(/fails +boom .*it broke/)
    expect((await cli('dlq', 'list', '--code', 'timeout')).out).not.toContain('boom')
    expect((await cli('dlq', 'get', letters[0].id)).out).toContain('it broke')

    const dry = await cli('dlq', 'replay', '-w', 'fails', '--dry-run')
    expect([dry.code, idsOf(dry.out).sort()]).toEqual([0, ids])
    expect(dry.err).toContain('would touch 2 runs; nothing was done')
    expect((await cli('dlq', 'list', '-w', 'fails', '--json')).out).toContain(letters[0].id)

    expect((await cli('dlq', 'replay', letters[0].id)).out).toBe(`accepted  ${letters[0].id}\n`)
    const many = await cli('dlq', 'replay', '--run', letters[1].runId)
    expect([many.code, many.out, many.err]).toEqual([
      0,
      `${letters[1].runId}\n`,
      expect.stringContaining('replay: 1 run, 1 of them told now'),
    ])
    for (const id of ids) await ground.logs(id, 'run.retried')

    const unclear = await cli('dlq', 'replay')
    expect([unclear.code, unclear.err]).toEqual([2, expect.stringContaining('Nothing was done')])
    expect((await cli('dlq', 'replay', letters[0].id, '--all')).code).toBe(2)
    expect((await cli('dlq', 'replay', `${ids[0]}.9999`)).err).toContain('dead_letter_not_found')
  })

  test('runs are cancelled by a filter, after a look at which', async () => {
    const waiting = (...args: string[]) => ground.run('asks.yaml', '--no-wait', ...args)
    const [one, two, other] = await Promise.all([
      waiting('-l', 'customer=acme'),
      waiting('-l', 'customer=acme'),
      waiting('-l', 'customer=umbrella'),
    ])
    const ids = [one, two].sort()
    const dry = await cli('runs', 'cancel', '-l', 'customer=acme', '--dry-run')
    expect([dry.code, idsOf(dry.out).sort()]).toEqual([0, ids])
    const done = await cli('runs', 'cancel', '-l', 'customer=acme', '--reason', 'no more')
    expect([done.code, idsOf(done.out).sort()]).toEqual([0, ids])
    expect(done.err).toContain('cancel: 2 runs, 2 of them told now')
    for (const id of ids) await ground.logs(id, 'run.cancelled')
    expect((await cli('runs', 'get', other, '--json')).out).toContain('"waiting"')

    expect((await cli('runs', 'cancel')).code).toBe(2)
    expect((await cli('runs', 'cancel', other, '--all')).err).toContain('not both')
    expect((await cli('runs', 'cancel', '--status', 'failed')).code).toBe(2)
  })

  test('runs are retried by a filter, after a look at which', async () => {
    const id = await ground.run('fails.yaml', '-l', 'batch=7')
    const dry = await cli('runs', 'retry', '-w', 'fails', '-l', 'batch=7', '--dry-run', '--json')
    expect(JSON.parse(dry.out)).toMatchObject({ runs: [id], queued: 0, dryRun: true })
    const done = await cli('runs', 'retry', '-w', 'fails', '-l', 'batch=7', '--json')
    expect([done.code, JSON.parse(done.out)]).toEqual([
      0,
      { runs: [id], queued: 1, dryRun: false, left: [], reasons: [] },
    ])
    await ground.logs(id, 'run.retried')
  })

  test('a fork goes on from a step or an event, with another input or a patch, and leaves the old run', async () => {
    const id = await ground.run('chain.yaml', '-i', 'name=Ada')
    const fork = async (...args: string[]) => {
      const { code, out, err } = await cli('runs', 'fork', id, ...args)
      expect([code, err]).toEqual([0, ''])
      const forked = idsOf(out)[0] as string
      expect(forked).not.toBe(id)
      await cli('logs', forked, '--follow')
      return (await cli('runs', 'get', forked, '--json')).out
    }
    expect(await fork('--at', '1', '--input', '{"name":"Bob"}')).toContain('told: Hello, Bob!')
    expect(await fork('--from', 'tell')).toContain('told: Hello, Ada!')
    const changed = await fork('--from', 'tell', '--op', 'replace /nodes/tell/with/message bye')
    expect(changed).toContain('"bye"')
    expect(changed).not.toContain('told: ')
    expect((await cli('runs', 'get', id, '--json')).out).toContain('told: Hello, Ada!')

    expect((await cli('runs', 'fork', id)).err).toContain('--at <seq>, or --from <step>')
    expect((await cli('runs', 'fork', id, '--from', 'tell', '--at', '1')).code).toBe(2)
    const nowhere = await cli('runs', 'fork', id, '--from', 'tall')
    expect([nowhere.code, nowhere.err]).toEqual([2, expect.stringContaining('invalid_fork')])
  })

  test('a worker’s key is for the task types that it names', async () => {
    const types = 'image.resize,image.crop'
    const made = await cli('keys', 'create', 'resizer', '--role', 'worker', '--types', types)
    expect([made.code, made.err]).toEqual([
      0,
      expect.stringContaining('Key resizer (worker, for image.resize, image.crop)'),
    ])
    expect((await cli('keys', 'list')).out).toMatch(/resizer +worker +image\.resize,image\.crop/)
    const wrong = await cli('keys', 'create', 'both', '--role', 'editor', '--types', 'image.resize')
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('/taskTypes')])
  })
})

describe('on a server that limits how much is started', () => {
  const ground = new Ground()
  const { cli } = ground
  beforeAll(() => ground.start({ WEFT_RATE_LIMITS: '{"key":2}' }))
  afterAll(() => ground.stop())

  test('what a replay of many has no room for is named, stays, and ends with 6', async () => {
    const keyOf = async (name: string) => (await cli('keys', 'create', name, '-r', 'editor')).out.trim()
    const [starter, one, other] = [await keyOf('starter'), await keyOf('one'), await keyOf('other')]
    const ids = await Promise.all([
      ground.run('fails.yaml', '--api-key', starter),
      ground.run('fails.yaml'),
      ground.run('fails.yaml'),
    ])
    const replayed = await cli('dlq', 'replay', '--all', '--api-key', one)
    expect([replayed.code, idsOf(replayed.out).sort()]).toEqual([6, [...ids].sort()])
    expect(replayed.out.match(/left as it was/g)).toHaveLength(1)
    expect(replayed.err).toContain('replay: 3 runs, 2 of them told now')
    expect(replayed.err).toMatch(/Not all was done: .* 2 per minute for key:one/)
    const left = /(\S+) {2}left as it was/.exec(replayed.out)?.[1] as string
    expect((await cli('logs', left, '--json')).out).not.toContain('run.retried')

    const none = await cli('runs', 'retry', '--all', '--api-key', one)
    expect([none.code, none.out, none.err]).toEqual([6, '', expect.stringContaining('Nothing was started')])
    expect((await cli('runs', 'retry', left, '--api-key', other)).code).toBe(0)
  })
})
