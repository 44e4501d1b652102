/**
 * Every example does what its README promises, through a real server and over real HTTP; and the comparison that says so
 * notices one deliberate change in each of them.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { differences } from '../../../examples/runner/compare.ts'
import { changed, exampleNames, readExample } from '../../../examples/runner/example.ts'
import { expectedWith, play } from '../../../examples/runner/play.ts'
import { type Stage, startStage } from '../../../examples/runner/stage.ts'
import { stackEnvironment } from '../stack.ts'

let stage: Stage
let dropStack = async (): Promise<void> => {}

beforeAll(async () => {
  const { environment, drop } = await stackEnvironment()
  dropStack = drop
  stage = await startStage(environment)
})
afterAll(async () => {
  await stage?.[Symbol.asyncDispose]()
  await dropStack()
})

test('there are examples', () => expect(exampleNames().length).toBeGreaterThanOrEqual(10))

describe.each(exampleNames())('example %s', (name) => {
  const example = readExample(name)

  test('matches what it expects', async () => {
    const observed = await play(example, stage.weft.client, stage.service)
    expect(differences(expectedWith(stage.service.nonce, example.expected), observed)).toEqual([])
  })

  test(`does not match after its change: ${example.change.change}`, async () => {
    const observed = await play(changed(example), stage.weft.client, stage.service)
    expect(differences(expectedWith(stage.service.nonce, example.expected), observed)).not.toEqual([])
  })
})
