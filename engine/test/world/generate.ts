/**
 * Random workflows that use everything: what the properties are checked on. The generator keeps, beside the definition,
 * what each condition means, so that the check of the routes needs no evaluator.
 */
import type { Definition, NodeDefinition, NodeTypeInfo, NodeTypes } from '../../src/index.ts'
import { type Random, random } from './random.ts'

/** `default(steps.<step>.output.v, 0) > <above>` */
export interface Condition {
  readonly step: string
  readonly above: number
}

export interface GeneratedWorkflow {
  readonly definition: Definition
  /** Conditions of edges by `from>to`; `else` for the otherwise-edge. */
  readonly edges: ReadonlyMap<string, Condition | 'else'>
  /** Conditions of nodes' own `when`. */
  readonly whens: ReadonlyMap<string, Condition>
  readonly features: ReadonlySet<Feature>
  /** Whether somebody may be too late: then the end depends on when they act. */
  readonly timed: boolean
}

export const FEATURES = [
  'forEach',
  'repeat',
  'any',
  'failure edge',
  'when',
  'else',
  'retry',
  'child',
  'approval',
  'message',
  'delay',
] as const
export type Feature = (typeof FEATURES)[number]

const info = (type: string, more: Partial<NodeTypeInfo> = {}): NodeTypeInfo => ({
  type,
  title: type,
  description: type,
  kind: 'task',
  labels: [],
  success: [],
  effect: 'write',
  retry: { attempts: 3, delayMs: 1000, factor: 2, maxDelayMs: 60_000 },
  timeoutMs: 30_000,
  fields: {},
  config: { type: 'object' },
  ...more,
})

/** `work` answers `{ v }`; `once` must never be repeated by itself. */
export const TASK_TYPES: readonly NodeTypeInfo[] = [
  info('work'),
  info('once', { effect: 'irreversible' }),
  // Only patches add these: what they name is what policies speak of.
  info('look', { effect: 'read' }),
  info('http'),
]

export const typesWith = (control: readonly NodeTypeInfo[]): NodeTypes =>
  new Map([...control, ...TASK_TYPES].map((type) => [type.type, type]))

const LABELS: Readonly<Record<string, readonly string[]>> = {
  branch: ['high', 'default'],
  approval: ['approved', 'rejected', 'timeout', 'success'],
  wait: ['received', 'timeout', 'success'],
}

class Generator {
  readonly random: Random
  readonly nodes: Record<string, NodeDefinition> = {}
  readonly ids: string[] = []
  readonly ancestors = new Map<string, Set<string>>()
  readonly edges = new Map<string, Condition | 'else'>()
  readonly whens = new Map<string, Condition>()
  readonly features = new Set<Feature>()
  readonly depth: number
  timed = false

  constructor(source: Random, depth: number) {
    this.random = source
    this.depth = depth
  }

  run(size: number): void {
    for (let i = 0; i < size; i++) this.addNode(`n${i}`)
  }

  private addNode(id: string): void {
    const { random } = this
    const node = this.body(id)
    const needs = this.ids.length > 0 && !random.chance(0.12) ? this.needs(id) : undefined
    if (needs) node.needs = needs
    const ancestors = new Set(
      Object.keys(needs ?? {}).flatMap((from) => [from, ...this.ancestors.get(from)!]),
    )
    this.ancestors.set(id, ancestors)
    this.conditions(id, node, [...ancestors])
    this.loops(node)
    this.failures(node)
    if (Object.keys(needs ?? {}).length > 1 && random.chance(0.3)) {
      node.join = 'any'
      this.features.add('any')
    }
    this.nodes[id] = node
    this.ids.push(id)
  }

  private body(id: string): NodeDefinition {
    const { random } = this
    const dice = random.int(100)
    if (dice < 52) return { type: 'work', with: { n: 1 } }
    if (dice < 56) return { type: 'once' }
    if (dice < 62) return { type: 'set', with: { v: random.int(100) } }
    if (dice < 70) {
      const source = this.ids.length > 0 ? random.pick(this.ids) : null
      // Only ancestors may be read; the needs are drawn later, so the branch looks at its run's input instead.
      return { type: 'branch', with: { cases: { high: `input.v > ${source ? random.int(100) : 50}` } } }
    }
    if (dice < 76) {
      this.features.add('delay')
      return { type: 'delay', with: { for: 1000 + random.int(60_000) } }
    }
    if (dice < 83) {
      this.features.add('approval')
      const onTimeout = random.pick(['approve', 'reject', 'fail', undefined] as const)
      const timeout = random.chance(0.25)
      if (timeout) this.timed = true
      return {
        type: 'approval',
        with: { title: id, ...(timeout ? { timeout: '1m', ...(onTimeout ? { onTimeout } : {}) } : {}) },
      }
    }
    if (dice < 90) {
      this.features.add('message')
      this.timed = true
      return {
        type: 'wait',
        with: { message: random.pick(['m1', 'm2']), ...(random.chance(0.4) ? { timeout: '2m' } : {}) },
      }
    }
    if (dice < 97 && this.depth < 2) {
      this.features.add('child')
      const inner = new Generator(random, this.depth + 1)
      inner.run(1 + random.int(4))
      if (inner.timed) this.timed = true
      for (const [key, value] of inner.edges) this.edges.set(`${id}/${key}`, value)
      for (const [key, value] of inner.whens) this.whens.set(`${id}/${key}`, value)
      return { type: 'workflow', with: { nodes: inner.nodes as never } }
    }
    return { type: 'work' }
  }

  private needs(id: string): NonNullable<NodeDefinition['needs']> {
    const { random } = this
    const needs: NonNullable<NodeDefinition['needs']> = {}
    const count = 1 + random.int(3)
    for (let i = 0; i < count; i++) {
      // Mostly near ones: long chains and diamonds rather than a star.
      const from = random.chance(0.7)
        ? this.ids[Math.max(0, this.ids.length - 1 - random.int(4))]!
        : random.pick(this.ids)
      if (needs[from]) continue
      needs[from] = this.need(id, from)
    }
    return needs
  }

  private need(id: string, from: string): { on: string[]; when?: string } {
    const { random } = this
    const labels = LABELS[this.nodes[from]!.type]
    const dice = random.int(100)
    let on = labels ? [random.pick(labels)] : ['success']
    if (dice < 8) on = ['always']
    else if (dice < 18) {
      on = labels ? [...on, 'failure'] : ['failure']
      this.features.add('failure edge')
    } else if (dice < 22) on = ['skipped', ...on]
    if (this.readable(from) && random.chance(0.25)) {
      const condition = { step: from, above: random.int(100) }
      this.edges.set(`${from}>${id}`, condition)
      return { on, when: text(condition) }
    }
    const hasConditional = [...this.edges].some(
      ([key, value]) => value !== 'else' && key.startsWith(`${from}>`),
    )
    if (hasConditional && random.chance(0.5)) {
      this.edges.set(`${from}>${id}`, 'else')
      this.features.add('else')
      return { on, when: 'else' }
    }
    return { on }
  }

  /** Lists, and whatever a child yields, have no `v`: a condition on them would fail the step, which is not the point. */
  private readable(id: string): boolean {
    const node = this.nodes[id]!
    return node.forEach === undefined && node.type !== 'workflow'
  }

  private conditions(id: string, node: NodeDefinition, all: readonly string[]): void {
    const ancestors = all.filter((ancestor) => this.readable(ancestor))
    if (ancestors.length === 0 || !this.random.chance(0.12)) return
    const condition = { step: this.random.pick(ancestors), above: this.random.int(100) }
    node.when = text(condition)
    this.whens.set(id, condition)
    this.features.add('when')
  }

  private loops(node: NodeDefinition): void {
    const { random } = this
    if (node.type === 'branch' || node.type === 'fail' || node.type === 'stop') return
    if (random.chance(0.12)) {
      const items = Array.from({ length: random.int(6) }, (_, index) => index)
      node.forEach = {
        items: random.chance(0.5) ? JSON.stringify(items) : items,
        ...(random.chance(0.5) ? { maxConcurrency: 1 + random.int(3) } : {}),
        ...(random.chance(0.5) ? { onItemError: 'collect' as const } : {}),
      }
      this.features.add('forEach')
    } else if ((node.type === 'work' || node.type === 'workflow') && random.chance(0.1)) {
      node.repeat = {
        maxIterations: 1 + random.int(4),
        ...(random.chance(0.5) ? { delay: 1000 + random.int(5000) } : {}),
      }
      this.features.add('repeat')
    }
  }

  private failures(node: NodeDefinition): void {
    const { random } = this
    if (node.type !== 'work') return
    // With the default policy too, every failing `work` step is retried.
    this.features.add('retry')
    if (random.chance(0.15)) node.retry = random.pick(['off', 2, 5] as const)
    if (random.chance(0.2)) node.onError = 'continue'
  }
}

const text = (condition: Condition): string =>
  `default(steps.${condition.step}.output.v, 0) > ${condition.above}`

/** @param size how many nodes; by default the seed says */
export function generate(seed: number, size?: number): GeneratedWorkflow {
  const source = random(seed)
  const generator = new Generator(source, 0)
  generator.run(size ?? 4 + source.int(28))
  return {
    definition: { weft: 1, name: 'generated', nodes: generator.nodes },
    edges: generator.edges,
    whens: generator.whens,
    features: generator.features,
    timed: generator.timed,
  }
}
