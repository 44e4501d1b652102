import { describe, expect, test } from 'vitest'
import { describeConfig, readConfig } from '../../src/config.ts'

const read = (value?: string) =>
  readConfig({
    environment: { HOME: '/nowhere', ...(value === undefined ? {} : { WEFT_RATE_LIMITS: value }) },
    directory: '/',
  })

function inForce(value?: string): string | undefined {
  const result = read(value)
  if (!result.ok) throw new Error(result.problems.join('\n'))
  expect(result.warnings).toEqual([])
  return describeConfig(result.config).find(({ name }) => name === 'WEFT_RATE_LIMITS')?.value
}

describe('WEFT_RATE_LIMITS', () => {
  test.each([
    [undefined, 'from 1 agent nodes 20/min per key, from 3 agent nodes 5/min per key'],
    ['off', 'off'],
    [
      'strict',
      'global 100/min, per key 50/min, from 0 agent nodes 100/min per key, from 1 agent nodes 20/min per key, from 3 agent nodes 5/min per key',
    ],
    ['{"key":7}', 'per key 7/min'],
    [
      '{"global":null,"tiers":{"10":1,"2":3}}',
      'from 2 agent nodes 3/min per key, from 10 agent nodes 1/min per key',
    ],
  ])('%s is in force as %s', (value, shown) => {
    expect(inForce(value)).toBe(shown)
  })

  test.each([
    ['stric', 'did you mean `strict`?'],
    ['constructor', 'it is one of'],
    ['{', 'is not JSON'],
    ['{"gobal":1}', 'has the layer `gobal`'],
    ['{"global":0}', 'at `global` no whole number'],
    ['{"key":1.5}', 'at `key`'],
    ['{"key":"5"}', 'at `key`'],
    ['{"tiers":[5]}', '`tiers`'],
    ['{"tiers":{"many":5}}', 'has the tier `many`'],
    ['{"tiers":{"1":null}}', 'at `tiers.1`'],
  ])('%s is refused at the start: %s', (value, hint) => {
    const result = read(value)
    expect(result.ok ? '' : result.problems.join()).toContain(hint)
    expect(result.ok ? '' : result.problems.join()).toContain(`WEFT_RATE_LIMITS=${value}`)
  })
})
