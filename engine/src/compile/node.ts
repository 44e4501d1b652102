/**
 * One node's own settings: its type, labels, retries, timeout, loop, and the check of its config against the schema of
 * its type. Nothing here looks at other nodes.
 */

import { CONTROL_NODE_TYPES, DEFAULT_CASE } from '../control-types.ts'
import type { NodeDefinition } from '../definition.ts'
import { DURATION_FORMS, parseDuration } from '../duration.ts'
import { type FieldMode, nearestName } from '../expression/index.ts'
import { listNames } from '../expression/nearest.ts'
import {
  DEFAULT_FOR_EACH_CONCURRENCY,
  DEFAULT_MAX_ITERATIONS,
  type ForEach,
  type NodeKind,
  type Repeat,
} from '../graph.ts'
import { isObject, type Json, type JsonObject } from '../json.ts'
import {
  type ControlType,
  DEFAULT_RETRY,
  type Effect,
  NO_RETRY,
  type NodeTypeInfo,
  type NodeTypes,
  type RetryPolicy,
} from '../node-type.ts'
import { checkTemplated } from '../schema-check.ts'
import type { Reader } from './reader.ts'
import type { Report } from './report.ts'

/** What a node is, before anything that it refers to is looked at. */
export interface NodeSettings {
  readonly kind: NodeKind
  /** `null` for an unknown type. */
  readonly info: NodeTypeInfo | null
  readonly labels: readonly string[]
  readonly success: readonly string[]
}

const CONTROL = new Map(CONTROL_NODE_TYPES.map((info) => [info.type, info]))

/** Control types that wait, so that a timeout means something. */
const TIMED: ReadonlySet<string> = new Set(['approval', 'wait', 'workflow'])

export function settingsOf(
  id: string,
  node: NodeDefinition,
  scope: {
    readonly types: NodeTypes
    readonly skipUnknown: boolean
    readonly report: Report
    readonly base: string
  },
): NodeSettings {
  const info = CONTROL.get(node.type) ?? scope.types.get(node.type)
  if (!info) {
    // Without any type the shape check has said so.
    if (node.type !== '') reportUnknown(node.type, `${scope.base}/nodes/${id}/type`, scope)
    return { kind: 'unknown', info: null, labels: [], success: [] }
  }
  const { success } = info
  if (info.type === 'branch') {
    const cases = node.with?.cases
    return {
      kind: 'branch',
      info,
      labels: [...(isObject(cases) ? Object.keys(cases) : []), DEFAULT_CASE],
      success,
    }
  }
  return {
    kind: CONTROL.has(info.type) ? (info.type as ControlType) : 'task',
    info,
    labels: info.labels,
    success,
  }
}

/** The known type that was probably meant: by spelling, or by its last part. */
export function nearestType(type: string, types: NodeTypes): string | undefined {
  const names = [...CONTROL.keys(), ...types.keys()]
  return (
    nearestName(type, names) ?? names.find((name) => name.endsWith(`.${type}`) || type.endsWith(`.${name}`))
  )
}

function reportUnknown(
  type: string,
  pointer: string,
  {
    types,
    skipUnknown,
    report,
  }: { readonly types: NodeTypes; readonly skipUnknown: boolean; readonly report: Report },
): void {
  const suggestion = nearestType(type, types)
  const known = suggestion
    ? `Did you mean \`${suggestion}\`?`
    : `Known types are ${listNames([...new Set([...CONTROL.keys(), ...types.keys()])])}.`
  const where = suggestion ? { suggestion } : {}
  if (skipUnknown) {
    report.warning(
      'unknown_type',
      `No node type \`${type}\` is known; the step will complete with null. ${known}`,
      pointer,
      where,
    )
    return
  }
  const message = `No node type \`${type}\` is known. ${known} With \`unknownTypes: skip\` such a step completes with null.`
  report.problem('unknown_type', message, pointer, where)
}

/** The config against the schema of the type; texts with expressions may become anything. */
export function checkConfig(config: JsonObject, info: NodeTypeInfo, pointer: string, report: Report): void {
  const fields = Object.entries(info.fields).map(([pattern, mode]) => ({
    segments: pattern.split('/').slice(1),
    mode,
  }))
  const isOpen = (text: string, at: string): boolean => {
    const mode = modeAt(fields, at)
    return mode === 'expression' || (mode !== 'raw' && text.includes('${{'))
  }
  for (const problem of checkTemplated(info.config, config, isOpen)) {
    const { code, pointer: inner, ...where } = problem
    const message =
      code === 'invalid_schema'
        ? `The schema of the type \`${info.type}\` is broken. ${problem.message}`
        : problem.message
    report.problem(code, message, pointer + inner, where.suggestion ? { suggestion: where.suggestion } : {})
  }
}

interface Field {
  readonly segments: readonly string[]
  readonly mode: FieldMode
}

/** The mode of the field in which a pointer lies; `raw` covers everything below. */
function modeAt(fields: readonly Field[], pointer: string): FieldMode | undefined {
  if (fields.length === 0) return undefined
  const path = pointer.split('/').slice(1)
  return fields.find(
    ({ segments, mode }) =>
      (segments.length === path.length || (mode === 'raw' && segments.length < path.length)) &&
      segments.every((segment, index) => segment === '*' || segment === path[index]),
  )?.mode
}

export function durationAt(value: string | number, pointer: string, report: Report): number | null {
  const ms = parseDuration(value)
  if (ms === null) {
    const hint = typeof value === 'string' && /^\d+$/.test(value) ? ` \`${value}\` lacks a unit.` : ''
    report.problem(
      'invalid_duration',
      `${JSON.stringify(value)} is no duration.${hint} Write ${DURATION_FORMS}.`,
      pointer,
    )
  }
  return ms
}

/** Retries of control nodes would repeat what cannot change: conditions and waits fail for good. */
export function retryOf(
  node: NodeDefinition,
  settings: NodeSettings,
  pointer: string,
  report: Report,
): RetryPolicy {
  const { retry } = node
  if (settings.kind !== 'task' || !settings.info) {
    if (retry !== undefined && retry !== 'off' && settings.info) {
      const advice = settings.kind === 'workflow' ? ' Put it on the steps of the child.' : ''
      report.warning(
        'no_effect',
        `\`retry\` does nothing on a \`${node.type}\` node.${advice}`,
        `${pointer}/retry`,
      )
    }
    return NO_RETRY
  }
  const base = settings.info.retry
  if (retry === undefined) return base
  if (retry === 'off') return NO_RETRY
  // A type without retries of its own has no pauses to inherit.
  const pauses = base.delayMs > 0 ? base : DEFAULT_RETRY
  if (typeof retry === 'number') return { ...pauses, attempts: retry }
  const delayMs =
    retry.delay === undefined
      ? pauses.delayMs
      : (durationAt(retry.delay, `${pointer}/retry/delay`, report) ?? 0)
  const maxDelayMs =
    retry.maxDelay === undefined
      ? Math.max(pauses.maxDelayMs, delayMs)
      : (durationAt(retry.maxDelay, `${pointer}/retry/maxDelay`, report) ?? 0)
  return { attempts: retry.attempts, delayMs, factor: retry.factor ?? pauses.factor, maxDelayMs }
}

export function timeoutOf(
  node: NodeDefinition,
  settings: NodeSettings,
  pointer: string,
  report: Report,
): number | null {
  if (node.timeout === undefined) return settings.info?.timeoutMs ?? null
  const ms = durationAt(node.timeout, `${pointer}/timeout`, report)
  if (settings.info?.kind === 'control' && !TIMED.has(node.type)) {
    report.warning('no_effect', `\`timeout\` does nothing on a \`${node.type}\` node.`, `${pointer}/timeout`)
    return null
  }
  return ms
}

/** `http` is what its method makes it; a method that is not known yet counts as one that writes. */
export function effectOf(node: NodeDefinition, settings: NodeSettings): Effect {
  if (node.type === 'http' && settings.kind === 'task') {
    const method = node.with?.method ?? 'GET'
    return typeof method === 'string' && /^(get|head)$/i.test(method) ? 'read' : 'write'
  }
  return settings.info?.effect ?? 'pure'
}

interface Loop {
  readonly id: string
  readonly pointer: string
  readonly reader: Reader
  readonly report: Report
  /** Whether `item` exists around the node: in a body. */
  readonly item: boolean
}

export function forEachOf({ forEach }: NodeDefinition, loop: Loop): ForEach | null {
  if (!forEach) return null
  const items = itemsOf(forEach.items, loop)
  return {
    items: items ?? { constant: [] },
    maxConcurrency: forEach.maxConcurrency ?? DEFAULT_FOR_EACH_CONCURRENCY,
    onItemError: forEach.onItemError ?? 'fail',
  }
}

function itemsOf(
  items: Json | undefined,
  { id, pointer, reader, report, item }: Loop,
): ForEach['items'] | null {
  const at = `${pointer}/forEach/items`
  if (typeof items === 'string') {
    const expression = reader.bare(items, { pointer: at, before: id, item })
    return expression && { expression }
  }
  if (!Array.isArray(items)) {
    report.problem(
      'invalid_for_each',
      '`forEach` needs `items`: an expression that yields a list, or a list.',
      at,
    )
    return null
  }
  if (JSON.stringify(items).includes('${{')) {
    const message =
      'A list in `forEach` is taken as it is. To compute it, write the whole list as one expression, as in `forEach: "[input.a, input.b]"`.'
    report.problem('invalid_for_each', message, at)
  }
  return { constant: items }
}

export function repeatOf(node: NodeDefinition, { id, pointer, reader, report, item }: Loop): Repeat | null {
  const { repeat } = node
  if (!repeat) return null
  if (node.forEach) {
    const message =
      '`forEach` and `repeat` cannot stand on one node yet. Put the inner loop into the body of a `workflow` node.'
    report.problem('foreach_with_repeat', message, `${pointer}/repeat`)
  }
  if (repeat.until === undefined && repeat.maxIterations === undefined) {
    report.problem('missing_key', '`repeat` needs `until`, `maxIterations`, or both.', `${pointer}/repeat`)
  }
  const reading = { pointer: `${pointer}/repeat/until`, before: id, also: id, item }
  return {
    until: repeat.until === undefined ? null : reader.bare(repeat.until, reading),
    maxIterations: repeat.maxIterations ?? DEFAULT_MAX_ITERATIONS,
    delayMs:
      repeat.delay === undefined ? 0 : (durationAt(repeat.delay, `${pointer}/repeat/delay`, report) ?? 0),
  }
}
