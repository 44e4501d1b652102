/** The real program against a real server: what people and scripts see, and the exit codes that scripts rely on. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Weft } from '../../src/main.ts'
import { testDatabase } from '../postgres.ts'
import { openTerminal, type Terminal } from './terminal.ts'

const HELLO = `weft: 1
name: hello
input: { type: object, required: [name], properties: { name: { type: string }, times: { type: number, default: 2 } } }
nodes:
  greet: { type: log, with: { message: "Hello, \${{ input.name }}!" } }
output: { text: "\${{ steps.greet.output.message }}", times: "\${{ input.times }}" }
`
const FAILS = 'weft: 1\nname: fails\nnodes:\n  boom: { type: fail, with: { message: it broke } }\n'
const ASKS = 'weft: 1\nname: asks\nnodes:\n  ask: { type: approval, with: { title: "Release it?" } }\n'
const GUARDED = `${ASKS.replace('name: asks', 'name: guarded')}patches: { api: review }\n`
const WAITS = 'weft: 1\nname: waits\nnodes:\n  wait: { type: wait, with: { message: paid } }\n'
const BAD =
  'weft: 1\nname: bad\nnodes:\n  a: { type: lgo, with: { message: x } }\n  b: { type: log, needs: aa, with: { message: x } }\n'

let terminal: Terminal
let folder: string
let weft: Weft

beforeAll(async () => {
  terminal = await openTerminal({
    hello: HELLO,
    fails: FAILS,
    asks: ASKS,
    guarded: GUARDED,
    waits: WAITS,
    bad: BAD,
  })
  folder = terminal.folder
  weft = terminal.weft
})

afterAll(() => terminal?.close())

const start: Terminal['start'] = (...given) => terminal.start(...given)
const cli: Terminal['cli'] = (...args) => terminal.cli(...args)

describe('run', () => {
  test('completes with 0, and prints the output', async () => {
    const { code, out } = await cli('run', 'hello.yaml', '-i', 'name=Ada')
    expect(code).toBe(0)
    expect(out).toMatch(/^completed {2}[0-9a-f-]{36}\n/)
    expect(JSON.parse(out.slice(out.indexOf('{')))).toEqual({ text: 'Hello, Ada!', times: 2 })
  })

  test('follows without a terminal in plain lines', async () => {
    const { code, out } = await cli('run', 'hello.yaml', '-i', 'name=Ada', '--follow')
    expect(code).toBe(0)
    expect(out).toMatch(/run +started[\s\S]*greet +completed[\s\S]*run +completed/)
    expect(out).not.toContain('\u001b')
  })

  test('takes input from a file and from stdin', async () => {
    await writeFile(join(folder, 'input.json'), '{"name":"file","times":5}')
    const fromFile = await cli('run', 'hello.yaml', '--input', '@input.json', '-i', 'times=7', '--json')
    expect(JSON.parse(fromFile.out)).toMatchObject({
      status: 'completed',
      output: { text: 'Hello, file!', times: 7 },
    })
    const fromInput = await start(['run', 'hello.yaml', '--input', '-', '--json'], {
      input: '{"name":"stdin"}',
    }).ended
    expect(JSON.parse(fromInput.out).output.text).toBe('Hello, stdin!')
  })

  test('ends with 1 when the run failed, and names the step', async () => {
    const { code, out } = await cli('run', 'fails.yaml')
    expect([code, out]).toEqual([1, expect.stringMatching(/^failed[\s\S]*step boom: .*it broke/)])
    const why = await cli('why', '@last:fails')
    expect(why.out).toMatch(/is failed\n.*it broke\. `weft runs retry [0-9a-f-]{36}`/)
  })

  test('a verb without its noun is told whose verb it is', async () => {
    const { code, err } = await cli('retry', '@last')
    expect([code, err]).toEqual([2, expect.stringContaining('There is `weft runs retry`.')])
  })

  test('ends with 2 for a file with problems, shows all of them, and stores nothing', async () => {
    const { code, err } = await cli('run', 'bad.yaml')
    expect(code).toBe(2)
    expect(err).toContain('bad.yaml:4:14  /nodes/a/type')
    expect(err).toContain('bad.yaml:5:26  /nodes/b/needs')
    expect(JSON.parse((await cli('runs', 'list', '-w', 'bad', '--json')).out)).toEqual([])
  })

  test('ends with 2 for input that misses the schema, for a missing file and for a wrong option', async () => {
    const input = await cli('run', 'hello.yaml')
    expect([input.code, input.err]).toEqual([2, expect.stringContaining('invalid_input')])
    expect((await cli('run', 'nothing.yaml')).code).toBe(2)
    expect((await cli('run', 'nobody')).err).toContain('workflow_not_found')
    const option = await cli('run', 'hello.yaml', '--folow')
    expect([option.code, option.err]).toEqual([2, expect.stringContaining('Did you mean --follow?')])
  })

  test('ends with 3 when somebody cancels', async () => {
    const running = start(['run', 'waits.yaml', '--follow'])
    await running.says('waiting')
    expect((await cli('cancel', '@last:waits')).code).toBe(0)
    const { code, out } = await running.ended
    expect([code, out]).toEqual([3, expect.stringContaining('cancelled')])
  })

  test('ends with 4 when a person is waited for and --no-wait was given', async () => {
    const { code, out } = await cli('run', 'asks.yaml', '--no-wait')
    expect(code).toBe(4)
    expect(out).toContain('weft approve')
    await cli('cancel', '@last:asks')
  })

  test('under one idempotency key is one run', async () => {
    const args = ['run', 'hello.yaml', '-i', 'name=Ada', '--idempotency-key', 'k1', '--detach']
    const first = await cli(...args)
    const again = await cli(...args)
    expect(again.out).toBe(first.out)
  })
})

test('an approval is decided from the command line, once', async () => {
  const running = start(['run', 'asks.yaml', '--follow'])
  await running.says('waiting')
  const [approval] = JSON.parse((await cli('approvals', 'list', '--json')).out)
  expect(approval.title).toBe('Release it?')
  expect(await cli('approve', '@last:asks', '-c', 'fine')).toMatchObject({ code: 0 })
  expect((await running.ended).code).toBe(0)
  const again = await cli('reject', approval.id)
  expect([again.code, again.err]).toEqual([6, expect.stringContaining('already_decided')])
})

test('a message wakes a run', async () => {
  const running = start(['run', 'waits.yaml', '--follow'])
  await running.says('waiting')
  expect((await cli('why', '@last:waits')).out).toContain('waits for a message named `paid`')
  expect((await cli('send', '@last:waits', 'paid', '--data', '{"amount":12}')).code).toBe(0)
  const { code, out } = await running.ended
  expect([code, out]).toEqual([0, expect.stringContaining('"amount": 12')])
})

test('workflows are stored, listed, tagged, run by name, deleted', async () => {
  expect((await cli('workflows', 'create', 'hello.yaml', '--tag', 'prod')).out).toContain('hello@1  stored')
  expect((await cli('workflows', 'create', 'hello.yaml')).out).toContain('is the same already')
  expect((await cli('workflows', 'get', 'hello@prod')).out).toBe(HELLO)
  expect((await cli('run', 'hello@prod', '-i', 'name=Ada')).code).toBe(0)
  expect((await cli('workflows', 'tag', 'hello@1', 'stable')).out).toContain('hello@stable is version 1')
  expect((await cli('workflows', 'list')).out).toContain('hello@1')
  expect((await cli('workflows', 'create', 'bad.yaml')).err).toContain('bad.yaml:4:14')
  expect((await cli('workflows', 'delete', 'hello')).code).toBe(0)
  expect((await cli('run', 'hello')).code).toBe(2)
})

test('variables are set as text or JSON, read by runs, listed and deleted', async () => {
  expect((await cli('vars', 'set', 'region', 'eu-west')).code).toBe(0)
  expect((await start(['vars', 'set', 'limits', '-'], { input: '{"orders":5}' }).ended).code).toBe(0)
  await writeFile(
    join(folder, 'vars.yaml'),
    'weft: 1\nname: vars\nnodes:\n  say: { type: log, with: { message: "${{ vars.limits.orders }} in ${{ vars.region }}" } }\n',
  )
  expect((await cli('run', 'vars.yaml', '--json')).out).toContain('5 in eu-west')
  expect((await cli('vars', 'get', 'region')).out).toBe('eu-west\n')
  expect(JSON.parse((await cli('vars', 'list', '--json')).out)).toMatchObject([
    { name: 'limits', value: { orders: 5 } },
    { name: 'region', value: 'eu-west' },
  ])
  expect((await cli('vars', 'delete', 'limits')).out).toBe('deleted  limits\n')
  const gone = await cli('vars', 'get', 'limits')
  expect([gone.code, gone.err]).toEqual([2, expect.stringContaining('variable_not_found')])
  expect((await cli('vars', 'set', 'no-good', '1')).code).toBe(2)
})

test('credentials are created from stdin, a file or JSON, rotated, listed and deleted, and never shown', async () => {
  const ended = [
    await start(['credentials', 'create', 'shop', '-'], { input: '{"token":"sesame-1"}' }).ended,
    await cli('credentials', 'create', 'shop', '{"token":"sesame-2"}'),
    await writeFile(join(folder, 'shop.json'), '{"token":"sesame-3"}').then(() =>
      cli('credentials', 'rotate', 'shop', '-f', 'shop.json'),
    ),
    await cli('credentials', 'list'),
    await cli('credentials', 'list', '--json'),
    await cli('credentials', 'create', 'other', 'sesame-4'),
    await cli('credentials', 'create', 'other'),
    await cli('credentials', 'delete', 'shop'),
    await cli('credentials', 'rotate', 'shop', '{"token":"sesame-5"}'),
  ]
  expect(ended.map(({ code }) => code)).toEqual([0, 6, 0, 0, 0, 2, 2, 0, 2])
  expect(ended[3]?.out).toMatch(/^shop {2}stored/)
  for (const { out, err } of ended) expect(out + err).not.toContain('sesame')
})

test('a run is found by the end of its id; runs are listed, shown, explained and deleted', async () => {
  const { out } = await cli('run', 'hello.yaml', '-i', 'name=Ada', '-l', 'team=blue', '--json')
  const { id } = JSON.parse(out)
  expect((await cli('runs', 'get', id.slice(-8))).out).toContain('Hello, Ada!')
  expect(JSON.parse((await cli('runs', 'list', '-l', 'team=blue', '--json')).out)).toMatchObject([{ id }])
  const events = (await cli('logs', id, '--json')).out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).type)
  expect(events).toEqual(['run.started', 'step.completed', 'run.completed'])
  expect((await cli('why', id)).out).toContain('finished')
  expect((await cli('runs', 'pause', id)).code).toBe(6)
  expect((await cli('runs', 'delete', id)).code).toBe(0)
  expect((await cli('runs', 'get', id)).code).toBe(2)
  expect((await cli('runs', 'get', 'xyz')).err).toContain('@last')
})

describe('the server', () => {
  test('is found by the nearest data directory upward', async () => {
    await mkdir(join(folder, 'a', 'b'), { recursive: true })
    const { code, out } = await start(['doctor', '--json'], { cwd: join(folder, 'a', 'b') }).ended
    expect(code).toBe(0)
    const { server, settings } = JSON.parse(out)
    expect(server).toMatchObject({ url: weft.url, postgres: { settings: { fsync: 'on' } } })
    expect(JSON.stringify(settings)).not.toContain(weft.apiKey)
  })

  test('is named by the environment and by flags, flags first', async () => {
    const environment = { WEFT_URL: 'http://127.0.0.1:1', WEFT_API_KEY: weft.apiKey }
    const named = await start(['runs', 'list', '--url', weft.url], { environment, cwd: tmpdir() }).ended
    expect(named.code).toBe(0)
    const unreachable = await start(['runs', 'list'], { environment, cwd: tmpdir() }).ended
    expect([unreachable.code, unreachable.err]).toEqual([5, expect.stringContaining('http://127.0.0.1:1')])
  })

  test('refuses a wrong key with 6', async () => {
    const { code, err } = await cli('runs', 'list', '--url', weft.url, '--api-key', 'weft_wrong_key_entirely')
    expect([code, err]).toEqual([6, expect.stringContaining('unauthorized')])
  })

  test('without one the command brings an engine of its own, and says so', async () => {
    const other = await testDatabase()
    const home = await mkdtemp(join(tmpdir(), 'weft-cli-own-'))
    try {
      await writeFile(join(home, 'hello.yaml'), HELLO)
      const environment = { WEFT_DATABASE_URL: other.url, HOME: home }
      const { code, out, err } = await start(['run', 'hello.yaml', '-i', 'name=Ada'], {
        cwd: home,
        environment,
      }).ended
      expect([code, err]).toEqual([0, expect.stringContaining('brings its own engine')])
      expect(out).toContain('Hello, Ada!')
    } finally {
      await other.drop()
      await rm(home, { recursive: true, force: true })
    }
  })

  test('is called directly', async () => {
    const { code, out } = await cli('api', 'GET', '/node-types')
    expect([code, JSON.parse(out).items.length > 8]).toEqual([0, true])
    const posted = await cli(
      'api',
      'post',
      '/orchestrate?wait=30s',
      '-d',
      '@fails.yaml',
      '-t',
      'application/yaml',
    )
    expect([posted.code, JSON.parse(posted.out).status]).toEqual([0, 'failed'])
    expect((await cli('api', 'GET', '/runs/none')).code).toBe(2)
    expect((await cli('open')).out.trim()).toBe(`${weft.url}/api/v1/runs`)
  })
})

describe('without a server', () => {
  const offline = { cwd: tmpdir(), environment: { WEFT_URL: 'http://127.0.0.1:1' } }

  test('validate shows every problem under its line', async () => {
    const { code, out } = await start(
      ['validate', join(folder, 'bad.yaml'), join(folder, 'hello.yaml')],
      offline,
    ).ended
    expect(code).toBe(2)
    expect(out).toContain('unknown_type: No node type `lgo` is known. Did you mean `log`?')
    expect(out).toContain('unknown_step')
    expect(out).toContain('hello is valid')
    const json = await start(['validate', '-', '--json'], { ...offline, input: BAD }).ended
    expect(JSON.parse(json.out)).toMatchObject([
      { file: 'stdin', valid: false, problems: [{ line: 4, suggestion: 'log' }, { line: 5 }] },
    ])
  })

  test('init writes a workflow that is valid and runs', async () => {
    const file = join(folder, 'starters', 'first.yaml')
    expect((await cli('init', file)).code).toBe(0)
    expect((await cli('init', file)).err).toContain('exists already')
    expect((await cli('validate', file)).code).toBe(0)
    const { code, out } = await cli('run', file, '-i', 'name=Ada', '--json')
    expect([code, JSON.parse(out).output]).toEqual([0, { greeting: 'Hello, Ada!', welcomed: 3 }])
  })

  test('every command has help with an example', async () => {
    const { out } = await cli('--help')
    const commands = [...out.matchAll(/^ {2}([a-z]+) .*$/gm)]
      .map((match) => match[1] as string)
      .filter((name) => name !== 'help' && name !== 'weft')
    expect(commands.length).toBeGreaterThan(15)
    for (const name of commands.slice(0, 15)) {
      const help = await cli(name, '--help')
      expect([name, help.code, help.out]).toEqual([name, 0, expect.stringContaining('Examples:')])
    }
  })
})

describe('patches', () => {
  test('are tried, applied and listed, with what they change', async () => {
    const submitted = await cli('run', 'asks.yaml', '--no-wait', '--json')
    const { id } = JSON.parse(submitted.out)
    const weave = [
      '--op',
      'add /nodes/note {"type":"log","needs":"ask","with":{"message":"paid"}}',
      '--op',
      'replace /nodes/ask/notes x',
    ]
    const refused = await cli('patches', 'apply', id, ...weave, '-m', 'note it')
    expect([refused.code, refused.err]).toMatchObject([6, expect.stringContaining('patch_does_not_apply')])
    const tried = await cli('patches', 'apply', id, ...weave.slice(0, 2), '--dry-run')
    expect([tried.code, tried.out]).toEqual([
      0,
      ' ·  ask   approval\n +  note  log  + needs ask\nwould apply  nothing was changed\n',
    ])
    expect((await cli('patches', 'list', id)).err).toBe('The run took no patch.\n')
    await writeFile(
      join(folder, 'patch.json'),
      '[{"op":"add","path":"/nodes/note","value":{"type":"log","needs":"ask","with":{"message":"paid"}}}]',
    )
    expect((await cli('patches', 'apply', id, '-f', 'patch.json')).code).toBe(2)
    const applied = await cli('patches', 'apply', id, '-f', 'patch.json', '-m', 'note it')
    expect([applied.code, applied.out]).toMatchObject([0, expect.stringContaining('+  note')])
    const wrong = await cli('patches', 'apply', id, '--op', 'remove /nodes/nte', '-m', 'away')
    expect(wrong.err).toContain('send instead: {"op":"remove","path":"/nodes/note"}')
    const listed = await cli('patches', 'list', id, '--diff')
    expect(listed.out).toMatch(/key:\S+ {2}note it\n · {2}ask.*\n \+ {2}note/)
    await cli('approve', id)
    expect((await cli('runs', 'get', id)).out).toContain('note')
  })

  test('wait for a review where the workflow wants it, and are drawn for whoever decides', async () => {
    const { id } = JSON.parse((await cli('run', 'guarded.yaml', '--no-wait', '--json')).out)
    const add = ['--op', 'add /nodes/note {"type":"log","needs":"ask","with":{"message":"paid"}}']
    const proposed = await cli('patches', 'apply', id, ...add, '-m', 'note it')
    expect([proposed.code, proposed.out]).toMatchObject([4, expect.stringContaining('under review  ')])
    const review = /under review {2}(\S+)/.exec(proposed.out)?.[1] as string
    expect((await cli('approvals', 'list', '--run', id)).out).toContain('Patch this run? note it')
    const shown = await cli('approvals', 'get', review)
    expect(shown.out).toContain(' +  note  log  + needs ask')
    expect((await cli('why', id)).out).toContain('note it')
    expect((await cli('approve', `${id}.1`)).code).toBe(0)
    expect((await cli('approve', review)).out).toContain('approved')
    expect((await cli('reject', review)).code).toBe(6)
    expect((await cli('logs', id, '--follow')).out).toMatch(/patch proposed.*patch approved/s)
    expect((await cli('patches', 'list', id)).out).toContain('(approved by key:')
  })

  test('can begin a fork', async () => {
    const { id } = JSON.parse((await cli('run', 'fails.yaml', '--json')).out)
    const forked = await cli(
      'runs',
      'fork',
      id,
      '--from',
      'boom',
      '--op',
      'replace /nodes/boom/with/message "again"',
      '--json',
    )
    expect(forked.code).toBe(0)
    const { err, out } = await cli('logs', JSON.parse(forked.out).id, '--follow')
    expect(out + err).toContain('again')
    const wrong = await cli('runs', 'fork', id, '--from', 'boom', '--op', 'remove /nodes/boom')
    expect([wrong.code, wrong.err]).toMatchObject([6, expect.stringContaining('patch_touches_reached')])
  })

  test('are asked for correctly', async () => {
    for (const args of [[], ['--op', 'remove'], ['--op', 'move /nodes/a'], ['-f', 'nowhere.json']]) {
      expect((await cli('patches', 'apply', '@last', '-m', 'x', ...args)).code).toBe(2)
    }
  })
})

test('keys are made, used and revoked by name; the secret alone goes to stdout', async () => {
  const made = await cli('keys', 'create', 'ci', '--role', 'viewer', '--expires-in', '90d')
  expect([made.code, made.out]).toEqual([0, expect.stringMatching(/^weft_[0-9a-f]{48}\n$/)])
  const key = made.out.trim()
  expect((await cli('runs', 'list', '--json', '--api-key', key)).code).toBe(0)
  const listed = await cli('keys', 'list')
  expect(listed.out).toMatch(/ci +viewer/)
  expect(listed.out).not.toContain(key)
  const denied = await cli('keys', 'list', '--api-key', key)
  expect([denied.code, denied.err]).toEqual([6, expect.stringContaining('needs the role admin')])
  expect((await cli('keys', 'revoke', 'ci')).out).toBe('revoked  ci\n')
  expect((await cli('runs', 'list', '--api-key', key)).code).toBe(6)
  expect((await cli('keys', 'revoke', 'ci')).code).toBe(2)
})
