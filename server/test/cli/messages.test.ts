/** Messages by name and key, from the command line. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTerminal, type Terminal } from './terminal.ts'

const HEARS = `weft: 1
name: hears
input: { type: string }
nodes:
  wait: { type: wait, with: { message: paid, key: "\${{ input }}" } }
`

let terminal: Terminal
beforeAll(async () => {
  terminal = await openTerminal({ hears: HEARS })
})
afterAll(() => terminal?.close())

const cli: Terminal['cli'] = (...args) => terminal.cli(...args)

test('a message by name and key wakes the runs that wait for it', async () => {
  const running = terminal.start(['run', 'hears.yaml', '--input', '"A-17"', '--follow'])
  await running.says('waiting')
  const sent = await cli('send', 'paid', '--key', 'A-17', '--data', '{"amount":12}', '--id', 'i1')
  expect([sent.code, sent.out]).toEqual([
    0,
    expect.stringMatching(/^delivered to 1 run {2}i1\n {2}[0-9a-f-]{36}\n$/),
  ])
  const { code, out } = await running.ended
  expect([code, out]).toEqual([0, expect.stringContaining('"amount": 12')])
  const shown = JSON.parse((await cli('messages', 'get', 'i1', '--json')).out)
  expect(shown).toMatchObject({ status: 'delivered', name: 'paid', key: 'A-17', runs: [expect.any(String)] })
  const late = await cli('messages', 'delete', 'i1')
  expect([late.code, late.err]).toEqual([6, expect.stringContaining('message_delivered')])
})

test('one that comes early is listed until a run takes it, or somebody deletes it', async () => {
  const kept = await cli('messages', 'send', 'paid', '--key', 'B-1', '--id', 'i2', '--ttl', '2h')
  expect([kept.code, kept.out]).toEqual([
    0,
    expect.stringMatching(/^kept for 2h.*nobody waits for it yet {2}i2\n$/),
  ])
  await cli('send', 'paid', '--key', 'B-2', '--id', 'i3')
  expect((await cli('messages', 'list')).out).toMatch(/^i3 +paid +key B-2[\s\S]*\ni2 +paid +key B-1/)
  const found = JSON.parse((await cli('messages', 'list', '--key', 'B-1', '--json')).out)
  expect(found).toMatchObject([{ id: 'i2', status: 'kept', runs: [] }])
  expect((await cli('run', 'hears.yaml', '--input', '"B-1"')).code).toBe(0)
  expect((await cli('messages', 'delete', 'i3')).out).toBe('deleted  i3\n')
  expect(await cli('messages', 'list')).toMatchObject({
    code: 0,
    out: '',
    err: expect.stringContaining('No message'),
  })
  expect((await cli('messages', 'get', 'i3')).err).toContain('message_not_found')
})

test('what is asked for wrongly is answered with a sentence', async () => {
  for (const args of [
    ['send'],
    ['send', 'paid', '--data', '{'],
    ['send', 'paid', '--ttl', '0'],
    ['send', 'paid', '--ttl', '90d'],
    ['messages', 'list', '-n', 'many'],
  ]) {
    const { code, err } = await cli(...args)
    expect([args, code, err.length > 20]).toEqual([args, 2, true])
  }
})
