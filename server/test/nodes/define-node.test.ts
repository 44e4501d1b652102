import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineNode, NodeDeclarationError } from '../../src/nodes/define-node.ts'
import type { NodeDefinitionInput } from '../../src/nodes/node-type.ts'

const good: NodeDefinitionInput = {
  type: 'shop.find_order',
  title: 'Find order',
  description: 'Looks an order up.',
  config: z.strictObject({ id: z.string(), limit: z.int().default(10) }),
  output: z.object({ total: z.number() }),
  effect: 'read',
  run: async () => null,
}

const problemsOf = (changes: object): readonly string[] => {
  try {
    defineNode({ ...good, ...changes } as NodeDefinitionInput)
  } catch (error) {
    if (error instanceof NodeDeclarationError) return error.problems
    throw error
  }
  return []
}

describe('defineNode', () => {
  it('describes the type as the engine and editors read it', () => {
    const { info } = defineNode(good)
    expect(info).toMatchObject({
      type: 'shop.find_order',
      kind: 'task',
      labels: [],
      success: [],
      effect: 'read',
      retry: { attempts: 3, delayMs: 2000, factor: 2, maxDelayMs: 60_000 },
      timeoutMs: 300_000,
      config: {
        type: 'object',
        properties: { id: { type: 'string' }, limit: { type: 'integer', default: 10 } },
        required: ['id'],
        additionalProperties: false,
      },
      output: { type: 'object', properties: { total: { type: 'number' } }, required: ['total'] },
    })
  })

  it('takes what the declaration says about retries and time', () => {
    expect(defineNode({ ...good, retry: 'off', timeoutMs: null }).info).toMatchObject({
      retry: { attempts: 1 },
      timeoutMs: null,
    })
    expect(defineNode({ ...good, retry: { attempts: 7 } }).info.retry).toMatchObject({
      attempts: 7,
      delayMs: 2000,
    })
  })

  it('applies defaults, and points at what a config has wrong', () => {
    const type = defineNode(good)
    expect(type.parse({ id: 'a' })).toEqual({ ok: true, config: { id: 'a', limit: 10 } })
    const refused = type.parse({ id: 7, limit: 'x', extra: 1 })
    expect(refused.ok).toBe(false)
    expect(!refused.ok && refused.problems.map(({ pointer }) => pointer).sort()).toEqual([
      '',
      '/id',
      '/limit',
    ])
  })

  it.each([
    ['a name with capitals', { type: 'Shop' }, /`type`/],
    ['the name of a control type', { type: 'branch' }, /control type/],
    ['no title', { title: '' }, /`title`/],
    ['no description', { description: undefined }, /`description`/],
    ['a config that is no schema', { config: { id: 'string' } }, /zod schema/],
    ['a config that is no object', { config: z.string() }, /object/],
    ['an unknown effect', { effect: 'writes' }, /`effect`/],
    ['no run', { run: undefined }, /`run`/],
    ['labels without success', { labels: ['found'] }, /`success`/],
    ['success that is no label', { labels: ['found'], success: ['fuond'] }, /`fuond`/],
    ['a label that is an outcome', { labels: ['failure'], success: [] }, /`failure`/],
    ['no attempts', { retry: { attempts: 0 } }, /attempts/],
    ['no time', { timeoutMs: 0 }, /timeoutMs/],
    ['an unknown field mode', { fields: { '/code': 'verbatim' } }, /verbatim/],
    ['a field that is no pointer', { fields: { code: 'raw' } }, /JSON Pointers/],
  ])('refuses %s', (_, changes, problem) => {
    const problems = problemsOf(changes)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(problem)
  })

  it('says everything that is wrong at once', () => {
    expect(problemsOf({ type: 'X', title: '', effect: 'none', timeoutMs: -1 })).toHaveLength(4)
  })
})
