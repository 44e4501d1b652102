/** What the schema of a control type cannot say about its config. */

import { CASE_PATTERN, DEFAULT_CASE } from '../control-types.ts'
import type { NodeDefinition } from '../definition.ts'
import { parseTime } from '../duration.ts'
import type { GraphNode, NodeKind } from '../graph.ts'
import { escapePointer, isObject, type Json, type JsonObject } from '../json.ts'
import { checkSchema } from '../schema-check.ts'
import { compileMatch } from './match.ts'
import { durationAt } from './node.ts'
import type { Reader } from './reader.ts'
import type { Report } from './report.ts'

const OUTCOME_WORDS: ReadonlySet<string> = new Set(['success', 'failure', 'skipped', 'always', DEFAULT_CASE])

export function casesOf(
  node: NodeDefinition,
  place: { readonly id: string; readonly pointer: string; readonly item: boolean },
  reader: Reader,
  report: Report,
): GraphNode['cases'] {
  const written = node.with?.cases
  if (!isObject(written)) return []
  const cases: { label: string; when: GraphNode['cases'][number]['when'] }[] = []
  for (const [label, source] of Object.entries(written)) {
    const pointer = `${place.pointer}/with/cases/${escapePointer(label)}`
    if (OUTCOME_WORDS.has(label)) {
      const meaning =
        label === DEFAULT_CASE
          ? 'what is taken when no case is true; leave it out'
          : 'an outcome of every node'
      report.problem('invalid_case', `A case cannot be called \`${label}\`: that is ${meaning}.`, pointer)
    } else if (!CASE_PATTERN.test(label)) {
      const message = `\`${label.slice(0, 80)}\` is no name of a case: it begins with a letter and has letters, digits, \`_\` and \`-\`, at most 63. (Keys that are numbers lose their order.)`
      report.problem('invalid_case', message, pointer)
    }
    if (typeof source !== 'string' && typeof source !== 'boolean') continue
    const when = reader.bare(String(source), { pointer, before: place.id, item: place.item })
    if (when) cases.push({ label, when })
  }
  return cases
}

/** Problems that would otherwise show when the step runs. */
export function checkControl(kind: NodeKind, config: JsonObject, pointer: string, report: Report): void {
  switch (kind) {
    case 'delay':
      checkDuration(config, 'for', pointer, report)
      checkMoment(config.until, `${pointer}/until`, report)
      return
    case 'approval':
      checkDuration(config, 'timeout', pointer, report)
      checkSchemaAt(config.form, `${pointer}/form`, report)
      return
    case 'wait':
      checkDuration(config, 'timeout', pointer, report)
      checkMatch(config.match, `${pointer}/match`, report)
      return
    default:
      return
  }
}

const isConstant = (value: Json | undefined): value is string | number =>
  typeof value === 'number' || (typeof value === 'string' && !value.includes('${{'))

function checkDuration(config: JsonObject, key: string, pointer: string, report: Report): void {
  const value = config[key]
  if (isConstant(value)) durationAt(value, `${pointer}/${key}`, report)
}

function checkMoment(value: Json | undefined, pointer: string, report: Report): void {
  if (!isConstant(value) || parseTime(value) !== null) return
  const message = `${JSON.stringify(value)} is no moment. Write ISO 8601, as in 2030-01-31T09:00:00Z, or milliseconds since 1970.`
  report.problem('invalid_time', message, pointer)
}

export function checkSchemaAt(schema: Json | undefined, pointer: string, report: Report): void {
  if (schema === undefined) return
  const problem = checkSchema(schema)
  if (problem) report.problem(problem.code, problem.message, pointer)
}

function checkMatch(source: Json | undefined, pointer: string, report: Report): void {
  if (typeof source !== 'string') return
  const compiled = compileMatch(source)
  if (compiled.ok) return
  for (const { code, message, column, length } of compiled.problems) {
    report.problem(code, message, pointer, { offset: column - 1, length })
  }
}
