/**
 * Some of the breaches of `npm run sim -- --mutants`, which are found within a few worlds; and that there is one for each
 * rule.
 */
import { expect, test } from 'vitest'
import { findMutant, mutantNames } from '../src/mutants.ts'

const RULES = ['R1', 'R2', 'R3', 'R4', 'R5', 'R6', 'R7', 'R8', 'R9', 'R11', 'R15']
const QUICK = RULES.filter((rule) => ['R1', 'R2', 'R7', 'R15'].includes(rule))

const nameOf = (rule: string): string | undefined => mutantNames().find((name) => name.startsWith(`${rule}-`))

test('each rule that worlds can break has a mutant', () => {
  expect(RULES.filter((rule) => nameOf(rule) === undefined)).toEqual([])
})

test.each(QUICK)('a breach of %s is found', async (rule) => {
  const found = await findMutant(nameOf(rule) as string, { worlds: 200, firstSeed: 1 })
  expect(found).not.toBeNull()
})
