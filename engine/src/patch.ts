/**
 * Patches: RFC 6902 overlays on the definition of one run, checked before anything of them is applied.
 *
 * Owns: the rules. A patch is atomic; it may change whatever was not reached and whatever edge is not decided; it may not
 * change what the run was started under (its name, input, limits, policy). Of a step that a retry would start anew it may
 * change what it does (`with`, `retry` …), so that a failed run can be mended and go on. A refusal carries a stable code, a sentence,
 * the operation that is to blame, and the corrected one where there is one.
 * Does not own: policy (who may, which hosts, whether a review is needed), and the routes of edges added behind settled
 * steps, which `decide` evaluates.
 */
import { compile } from './compile.ts'
import { CONTROL_NODE_TYPES } from './control-types.ts'
import type { Definition, NodeDefinition } from './definition.ts'
import type { Problem } from './errors.ts'
import { nearestName } from './expression/index.ts'
import type { Graph } from './graph.ts'
import { escapePointer, isObject, type Json, jsonEquals, MAX_JSON_DEPTH } from './json.ts'
import type { NodeTypes } from './node-type.ts'
import { keyed } from './patch/list-form.ts'
import { applyOne, difference, type Operation, parseOperations } from './patch/operation.ts'
import { type Preview, type Progress, preview } from './patch/preview.ts'
import { normaliseDefinition } from './workflow.ts'

export type { Operation } from './patch/operation.ts'
export { type Preview, type Progress, preview } from './patch/preview.ts'

export type RefusalCode =
  | 'patch_malformed'
  | 'patch_does_not_apply'
  | 'patch_test_failed'
  | 'patch_numeric_index'
  | 'patch_exists'
  | 'patch_invalid'
  | 'patch_cycle'
  | 'patch_touches_reached'
  | 'patch_exceeds_limits'
  | 'patch_unknown_type'
  | 'patch_immutable'
  | 'patch_conflict'
  | 'patch_unknown_version'

export interface PatchRefusal {
  readonly code: RefusalCode
  readonly message: string
  /** Index of the operation that is to blame. */
  readonly operation?: number
  readonly pointer?: string
  /** What to send instead of that operation. */
  readonly corrected?: Operation
  /** Everything that the patched definition would have wrong. */
  readonly problems?: readonly Problem[]
}

export interface PatchRequest {
  /** The run's definition, in normal form. */
  readonly definition: Definition
  readonly operations: Json
  /** Steps whose join was met, or that were skipped. */
  readonly reached: ReadonlySet<string>
  /** Steps whose outgoing edges are decided. */
  readonly settled: ReadonlySet<string>
  /** Reached steps that a retry of the run, or a fork, starts anew: what they do may change, not how they are wired. */
  readonly restarting?: ReadonlySet<string>
  readonly types: NodeTypes
  /** What the patch was written against, when that is not the current definition. */
  readonly baseDefinition?: Definition
  /** For the preview: what the settled steps took. */
  readonly progress?: Progress
}

export type PatchResult =
  | {
      readonly ok: true
      readonly definition: Definition
      readonly graph: Graph
      /** Pointers of what is another than before: `/nodes/<id>`, `/output` … */
      readonly touched: string[]
      readonly preview: Preview
      readonly warnings: readonly Problem[]
    }
  | { readonly ok: false; readonly refusal: PatchRefusal }

/** What the run was started under. Labels and limits with it: an agent must not lift its own. */
const IMMUTABLE = [
  'weft',
  'name',
  'input',
  'limits',
  'patches',
  'unknownTypes',
  'onFailure',
  'labels',
] as const

export function applyPatch(request: PatchRequest): PatchResult {
  const { definition: before, types } = request
  const patched = patchedDefinition(before, request.operations)
  if (!patched.ok) return patched
  const after = patched.definition
  const refusal = immutable(before, after) ?? conflict(request, after) ?? touchesReached(request, after)
  if (refusal) return { ok: false, refusal: blamed(refusal, patched.operations) }
  const slip = misspelledType(before, after, types)
  if (slip)
    return {
      ok: false,
      refusal: withTypeCorrected(blamed(slip.refusal, patched.operations), slip.meant, patched.operations),
    }
  const compiled = compile(after, types, { onUnknownType: 'skip' })
  if (!compiled.ok) return { ok: false, refusal: blamed(invalid(compiled.problems), patched.operations) }
  return {
    ok: true,
    definition: after,
    graph: compiled.graph,
    touched: touchedParts(before, after),
    preview: preview(before, after, types, request.progress),
    warnings: compiled.warnings,
  }
}

/** The definition with the operations applied, without any judgement; `null` when they do not apply to it. */
export function overlay(before: Definition, operations: Json): Definition | null {
  const patched = patchedDefinition(before, operations)
  return patched.ok ? patched.definition : null
}

/** The operations that undo a patch of this definition; `null` when the patch does not apply to it. */
export function inversePatch(before: Definition, operations: Json): Operation[] | null {
  const patched = patchedDefinition(before, operations)
  return patched.ok ? difference(patched.definition as unknown as Json, before as unknown as Json) : null
}

type Patched =
  | { readonly ok: true; readonly definition: Definition; readonly operations: readonly Operation[] }
  | { readonly ok: false; readonly refusal: PatchRefusal }

/** Applied and in normal form again; not judged yet. */
function patchedDefinition(before: Definition, written: Json): Patched {
  const parsed = parseOperations(written)
  if ('failure' in parsed) return { ok: false, refusal: parsed.failure }
  const operations: Operation[] = []
  let document = before as unknown as Json
  for (const [operation, asWritten] of parsed.operations.entries()) {
    const key = keyed(document, asWritten)
    if ('refusal' in key) return { ok: false, refusal: { ...key.refusal, operation } }
    const result = applyOne(document, key.operation)
    if ('failure' in result) return { ok: false, refusal: { ...result.failure, operation } }
    document = result.document
    operations.push(key.operation)
  }
  const tooLarge = exceedsSize(document)
  if (tooLarge) return { ok: false, refusal: tooLarge }
  const normalised = normaliseDefinition(withoutName(document, before))
  if (!normalised.ok) return { ok: false, refusal: blamed(invalid(normalised.problems), operations) }
  const { name } = isObject(document) ? document : {}
  return { ok: true, definition: { ...normalised.definition, name: name as string }, operations }
}

/** The name of an inline body has a slash, which no author may write; an unchanged name needs no check. */
function withoutName(document: Json, before: Definition): Json {
  if (!isObject(document) || document.name !== before.name) return document
  const { name: _name, ...rest } = document
  return rest
}

const MAX_VALUES = 500_000

/** Copies share what they copy, so a short patch can describe a document that fits no memory. */
function exceedsSize(document: Json): PatchRefusal | null {
  let left = MAX_VALUES
  const fits = (value: Json, depth: number): boolean => {
    if (--left < 0 || depth > MAX_JSON_DEPTH) return false
    if (Array.isArray(value)) return value.every((item) => fits(item, depth + 1))
    return !isObject(value) || Object.keys(value).every((key) => fits(value[key] as Json, depth + 1))
  }
  if (fits(document, 0)) return null
  const message = `The patched definition would have more than ${MAX_VALUES} values, or be nested deeper than ${MAX_JSON_DEPTH} levels.`
  return { code: 'patch_exceeds_limits', message }
}

function invalid(problems: readonly Problem[]): PatchRefusal {
  const first = (problems.find((problem) => problem.code === 'cycle') ?? problems[0]) as Problem
  const rest = problems.length > 1 ? ` And ${problems.length - 1} more.` : ''
  const code =
    first.code === 'too_many_nodes'
      ? 'patch_exceeds_limits'
      : first.code === 'cycle'
        ? 'patch_cycle'
        : 'patch_invalid'
  return { code, message: `${first.message}${rest}`, pointer: first.pointer, problems }
}

/** The last operation that wrote at, above or below the place of a refusal. */
function blamed(refusal: PatchRefusal, operations: readonly Operation[]): PatchRefusal {
  const { pointer } = refusal
  if (pointer === undefined || refusal.operation !== undefined) return refusal
  const isNear = (path: string): boolean =>
    path === pointer || pointer.startsWith(`${path}/`) || path.startsWith(`${pointer}/`)
  const near = operations.findLastIndex(({ op, path }) => op !== 'test' && isNear(path))
  // A cycle is named by one of its edges; the one that closed it was added here.
  const operation = near < 0 && refusal.code === 'patch_cycle' ? operations.findLastIndex(addsEdge) : near
  return operation < 0 ? refusal : { ...refusal, operation }
}

const addsEdge = (operation: Operation): boolean =>
  operation.path.includes('/needs') ||
  ('value' in operation && isObject(operation.value) && 'needs' in operation.value)

function immutable(before: Definition, after: Definition): PatchRefusal | null {
  for (const key of IMMUTABLE) {
    if (jsonEquals((before[key] ?? null) as Json, (after[key] ?? null) as Json)) continue
    const message = `\`${key}\` is what the run was started under; a patch cannot change it. It can change nodes, edges and the output.`
    return { code: 'patch_immutable', message, pointer: `/${key}` }
  }
  return null
}

function conflict({ definition, baseDefinition }: PatchRequest, after: Definition): PatchRefusal | null {
  if (!baseDefinition) return null
  const since = new Set(touchedParts(baseDefinition, definition))
  const both = touchedParts(definition, after).find((pointer) => since.has(pointer))
  if (both === undefined) return null
  const message = `\`${both}\` was changed by another patch since the version that this one was written against. Read the definition again and send the patch for it.`
  return { code: 'patch_conflict', message, pointer: both }
}

/** What the log of a step that failed relies on: it goes on from there when the run is retried. */
const WIRING = ['type', 'needs', 'when', 'join', 'forEach', 'repeat'] as const

function touchesReached(
  { definition, reached, settled, restarting }: PatchRequest,
  after: Definition,
): PatchRefusal | null {
  for (const id of reached) {
    const was = nodeAt(definition, id)
    const now = nodeAt(after, id)
    if (!was || jsonEquals(was as unknown as Json, (now ?? null) as unknown as Json)) continue
    const restarts = restarting?.has(id) === true
    if (restarts && now && WIRING.every((key) => jsonEquals(json(was[key]), json(now[key])))) continue
    const message = restarts
      ? `\`${id}\` starts anew where it is: its \`with\`, \`credentials\`, \`retry\`, \`timeout\` and \`onError\` may be changed; ${WIRING.map((key) => `\`${key}\``).join(', ')} stay, and so does the node.`
      : `The run has reached \`${id}\` already, so it and the edges into it stay as they are. Add a node behind it instead.`
    return { code: 'patch_touches_reached', message, pointer: `/nodes/${id}` }
  }
  for (const [to, node] of Object.entries(definition.nodes)) {
    for (const [from, need] of Object.entries(node.needs ?? {})) {
      if (!settled.has(from)) continue
      const now = nodeAt(after, to)?.needs
      const kept = now && Object.hasOwn(now, from) ? now[from] : undefined
      if (kept && jsonEquals(kept as unknown as Json, need as unknown as Json)) continue
      const message = `\`${from}\` is settled, so whether its edge to \`${to}\` is taken is decided; that edge cannot be changed or removed.`
      return { code: 'patch_touches_reached', message, pointer: `/nodes/${to}/needs/${from}` }
    }
  }
  return null
}

const json = (value: unknown): Json => (value ?? null) as Json

const nodeAt = ({ nodes }: Definition, id: string): NodeDefinition | undefined =>
  Object.hasOwn(nodes, id) ? nodes[id] : undefined

/**
 * An unknown type in a patch is skipped with a warning when the run comes to it, since an agent's mistake must not hang
 * the run; but one that is a known type but for two letters was a slip that can be corrected right away.
 */
function misspelledType(
  before: Definition,
  after: Definition,
  types: NodeTypes,
): { readonly refusal: PatchRefusal; readonly meant: string } | null {
  const known = [...CONTROL_NODE_TYPES.map(({ type }) => type), ...types.keys()]
  for (const { node, pointer } of nodesWithBodies(after.nodes, '')) {
    if (known.includes(node.type)) continue
    const near = known.filter((type) => withinTwoEdits(type, node.type))
    const meant = nearestName(node.type, near) ?? near[0]
    const was = pointer.split('/').length === 3 ? nodeAt(before, pointer.slice('/nodes/'.length)) : undefined
    if (meant === undefined || was?.type === node.type) continue
    const message = `No node type \`${node.type}\` is known. Did you mean \`${meant}\`?`
    return { refusal: { code: 'patch_unknown_type', message, pointer: `${pointer}/type` }, meant }
  }
  return null
}

/** The same operation with the known type, where the operation wrote the node or its type. */
function withTypeCorrected(
  refusal: PatchRefusal,
  type: string,
  operations: readonly Operation[],
): PatchRefusal {
  const operation = operations[refusal.operation ?? -1]
  if (!operation || !('value' in operation)) return refusal
  if (operation.path === refusal.pointer) return { ...refusal, corrected: { ...operation, value: type } }
  if (`${operation.path}/type` !== refusal.pointer || !isObject(operation.value)) return refusal
  return { ...refusal, corrected: { ...operation, value: { ...operation.value, type } } }
}

function* nodesWithBodies(
  nodes: Readonly<Record<string, NodeDefinition>>,
  base: string,
): Iterable<{ node: NodeDefinition; pointer: string }> {
  for (const [id, node] of Object.entries(nodes)) {
    const pointer = `${base}/nodes/${id}`
    yield { node, pointer }
    const body = node.type === 'workflow' ? node.with?.nodes : undefined
    if (isObject(body))
      yield* nodesWithBodies(body as unknown as Record<string, NodeDefinition>, `${pointer}/with`)
  }
}

/** Letters inserted, removed or replaced; a short name is not "near" one that it has little in common with. */
function withinTwoEdits(a: string, b: string): boolean {
  const allowed = Math.min(2, Math.floor(Math.min(a.length, b.length) / 2))
  if (Math.abs(a.length - b.length) > allowed) return false
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return (row[b.length] as number) <= allowed
}

/** The parts that differ: single nodes, and the other keys of the definition as a whole. */
function touchedParts(before: Definition, after: Definition): string[] {
  const parts: string[] = []
  for (const id of new Set([...Object.keys(before.nodes), ...Object.keys(after.nodes)])) {
    const was = (nodeAt(before, id) ?? null) as unknown as Json
    if (!jsonEquals(was, (nodeAt(after, id) ?? null) as unknown as Json)) parts.push(`/nodes/${id}`)
  }
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (key === 'nodes') continue
    const was = (before as unknown as Record<string, Json>)[key] ?? null
    const now = (after as unknown as Record<string, Json>)[key] ?? null
    if (!jsonEquals(was, now)) parts.push(`/${escapePointer(key)}`)
  }
  return parts
}
