import { expect, test } from 'vitest'
import { Client } from '../../src/cli/client.ts'
import { CliError } from '../../src/cli/exit.ts'
import { readLabels, readPairs } from '../../src/cli/values.ts'

test('pairs are JSON where they read as JSON, and text everywhere else', () => {
  expect(readPairs(['a=1', 'b=true', 'c=hello', 'd=[1,2]', 'e=', 'f="1"', 'g=x=y', 'h=null'], '-i')).toEqual({
    a: 1,
    b: true,
    c: 'hello',
    d: [1, 2],
    e: '',
    f: '1',
    g: 'x=y',
    h: null,
  })
})

test('an id with many digits keeps them all', () => {
  expect(readPairs(['id=12345678901234567890', 'code=007', 'price=1.50'], '-i')).toEqual({
    id: '12345678901234567890',
    code: '007',
    price: '1.50',
  })
})

test('a dot nests, and no name reaches the prototype', () => {
  expect(readPairs(['a.b.c=1', 'a.d=2'], '-i')).toEqual({ a: { b: { c: 1 }, d: 2 } })
  const pairs = readPairs(['__proto__.polluted=1'], '-i')
  expect(({} as { polluted?: number }).polluted).toBeUndefined()
  expect(JSON.stringify(pairs)).toBe('{"__proto__":{"polluted":1}}')
})

test('what is no pair is refused', () => {
  expect(() => readPairs(['name'], '-i')).toThrow('name=value')
  expect(() => readLabels(['name'])).toThrow('name=value')
  expect(readLabels(['a=b', 'c:d'])).toEqual({ a: 'b', c: 'd' })
})

test('a server that is not there is exit code 5, and says what to do', async () => {
  const client = new Client({ url: 'http://127.0.0.1:1', apiKey: null })
  const error = await client.call('GET', '/healthz').catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(CliError)
  expect(error).toMatchObject({ exitCode: 5, message: expect.stringContaining('weft dev') })
})
