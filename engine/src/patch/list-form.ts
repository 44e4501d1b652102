/**
 * Patches as people and agents write them who think in lists: appends to `/nodes/-` and `/edges/-` become the keyed
 * operations of the normal form, a numeric index is refused with the pointer to use.
 */
import { isObject, type Json, type JsonObject } from '../json.ts'
import { normaliseDefinition } from '../workflow.ts'
import type { Operation } from './operation.ts'
import { pointerOf } from './operation.ts'
import { isIndex, parsePointer, valueAt } from './pointer.ts'

export interface KeyedRefusal {
  readonly code: 'patch_malformed' | 'patch_numeric_index' | 'patch_exists'
  readonly message: string
  readonly pointer: string
  readonly corrected?: Operation
}

export type Keyed = { readonly operation: Operation } | { readonly refusal: KeyedRefusal }

/** One operation on the normal form, as it stands when the operation's turn comes. */
export function keyed(document: Json, operation: Operation): Keyed {
  const path = parsePointer(operation.path) ?? []
  const at = holderOf(document, path)
  if (!at) return { operation: normalisedValue(operation, path) }
  const { holder, rest } = at
  const [list, segment] = rest
  const nodes = valueAt(document, [...holder, 'nodes'])
  if (list === 'edges') return edge(document, operation, holder, rest, nodes)
  if (segment === '-' && rest.length === 2) return appendedNode(operation, holder, nodes)
  if (segment !== undefined && isIndex(segment)) {
    const id = isObject(nodes) ? Object.keys(nodes)[Number(segment)] : undefined
    return numericIndex(operation, id === undefined ? undefined : [...holder, 'nodes', id, ...rest.slice(2)])
  }
  if (
    operation.op === 'add' &&
    rest.length === 2 &&
    isObject(nodes) &&
    Object.hasOwn(nodes, segment as string)
  ) {
    return exists(operation, segment as string, operation.path, operation.value)
  }
  if (rest.length >= 3 && rest[2] === 'needs') return needsOf(document, operation, path)
  return { operation: normalisedValue(operation, path) }
}

/** What holds the nodes or edges that a path leads into: the definition, or the innermost body on the path. */
function holderOf(document: Json, path: readonly string[]): { holder: string[]; rest: string[] } | null {
  let found: { holder: string[]; rest: string[] } | null = null
  for (let at = 0; at < path.length; ) {
    const holder = path.slice(0, at)
    const rest = path.slice(at)
    if (rest[0] !== 'nodes' && rest[0] !== 'edges') break
    found = { holder, rest }
    const node = rest.length > 2 ? valueAt(document, [...holder, 'nodes', rest[1] as string]) : undefined
    if (!isObject(node) || node.type !== 'workflow' || rest[2] !== 'with') break
    at += 3
  }
  return found && found.rest.length > 1 ? found : null
}

function appendedNode(operation: Operation, holder: readonly string[], nodes: Json | undefined): Keyed {
  if (operation.op !== 'add' || !isObject(operation.value) || typeof operation.value.id !== 'string') {
    const message =
      'To `/nodes/-` a node can only be added: `{ "op": "add", "path": "/nodes/-", "value": { "id": "check", "type": … } }`.'
    return { refusal: { code: 'patch_malformed', message, pointer: operation.path } }
  }
  const { id, ...node } = operation.value as JsonObject & { id: string }
  const path = pointerOf([...holder, 'nodes', id])
  if (isObject(nodes) && Object.hasOwn(nodes, id)) return exists(operation, id, path, node)
  return { operation: normalisedValue({ op: 'add', path, value: node }, [...holder, 'nodes', id]) }
}

function edge(
  document: Json,
  operation: Operation,
  holder: readonly string[],
  rest: readonly string[],
  nodes: Json | undefined,
): Keyed {
  if (rest[1] !== '-' || rest.length !== 2) {
    const { from, to } = edgesOf(nodes)[Number(rest[1])] ?? {}
    return numericIndex(
      operation,
      from === undefined || to === undefined ? undefined : [...holder, 'nodes', to, 'needs', from],
    )
  }
  const value = 'value' in operation && isObject(operation.value) ? operation.value : {}
  const { from, to, ...need } = value
  if (operation.op !== 'add' || typeof from !== 'string' || typeof to !== 'string') {
    const message =
      'To `/edges/-` an edge can only be added: `{ "op": "add", "path": "/edges/-", "value": { "from": "a", "to": "b" } }`.'
    return { refusal: { code: 'patch_malformed', message, pointer: operation.path } }
  }
  const target = [...holder, 'nodes', to]
  const path = pointerOf([...target, 'needs', from])
  if (valueAt(document, [...target, 'needs', from]) !== undefined) {
    const message = `There is already an edge from \`${from}\` to \`${to}\`; use \`replace\`.`
    return {
      refusal: {
        code: 'patch_exists',
        message,
        pointer: path,
        corrected: { op: 'replace', path, value: need },
      },
    }
  }
  return withNeeds(document, { op: 'add', path, value: need }, target, from)
}

/** Edges in the order in which the normal form has them: what a numeric index into them can mean. */
function edgesOf(nodes: Json | undefined): { from: string; to: string }[] {
  if (!isObject(nodes)) return []
  return Object.entries(nodes).flatMap(([to, node]) => {
    const needs = isObject(node) ? node.needs : undefined
    return isObject(needs) ? Object.keys(needs).map((from) => ({ from, to })) : []
  })
}

/** The path of an edge: `…/nodes/x/needs/y`, perhaps on a node that has no needs yet. */
function needsOf(document: Json, operation: Operation, path: readonly string[]): Keyed {
  const at = path.indexOf('needs', 2)
  const source = path[at + 1]
  const target = path.slice(0, at)
  if (source === undefined) return { operation: normalisedValue(operation, path) }
  if (source === '-' || isIndex(source)) {
    const needs = valueAt(document, [...target, 'needs'])
    const written = 'value' in operation && typeof operation.value === 'string' ? operation.value : undefined
    const id = source === '-' ? written : isObject(needs) ? Object.keys(needs)[Number(source)] : undefined
    const value = source === '-' && operation.op === 'add' ? 'success' : undefined
    return numericIndex(operation, id === undefined ? undefined : [...target, 'needs', id], value)
  }
  if (operation.op === 'add' && path.length === at + 2) return withNeeds(document, operation, target, source)
  return { operation: normalisedValue(operation, path) }
}

/** In the normal form a root has no `needs` at all, to which an edge could be added. */
function withNeeds(
  document: Json,
  operation: Extract<Operation, { value: Json }>,
  target: readonly string[],
  source: string,
): Keyed {
  const node = valueAt(document, target)
  if (!isObject(node) || isObject(node.needs))
    return { operation: normalisedValue(operation, [...target, 'needs', source]) }
  const path = [...target, 'needs']
  return {
    operation: normalisedValue(
      { op: 'add', path: pointerOf(path), value: { [source]: operation.value } },
      path,
    ),
  }
}

function exists(operation: Operation, id: string, path: string, value: Json): Keyed {
  const message = `There is already a node \`${id}\`; use \`replace\`, or choose another id.`
  return {
    refusal: {
      code: 'patch_exists',
      message,
      pointer: operation.path,
      corrected: { op: 'replace', path, value },
    },
  }
}

function numericIndex(operation: Operation, path: readonly string[] | undefined, value?: Json): Keyed {
  const pointer = path && pointerOf(path)
  const advice = pointer
    ? ` Use \`${pointer}\`.`
    : ' Use `/nodes/<id>`, and `/nodes/<target>/needs/<source>` for an edge.'
  const message = `Nodes and edges are addressed by id, since positions in a list change under a patch.${advice}`
  const corrected =
    pointer && ({ ...operation, path: pointer, ...(value === undefined ? {} : { value }) } as Operation)
  return {
    refusal: {
      code: 'patch_numeric_index',
      message,
      pointer: operation.path,
      ...(corrected ? { corrected } : {}),
    },
  }
}

/** Nodes and needs may be added in any accepted spelling; later operations then find them in the normal form. */
function normalisedValue(operation: Operation, path: readonly string[]): Operation {
  if (operation.op !== 'add' && operation.op !== 'replace') return operation
  const [kind, name] = path.slice(-2)
  const id = path.at(-2) ?? ''
  if (kind === 'nodes' && name !== undefined) {
    const node = normalNode(operation.value)
    return node ? { ...operation, value: node } : operation
  }
  if (path.at(-1) === 'needs' && path.at(-3) === 'nodes') {
    const needs = normalNode({ type: 'log', needs: operation.value })?.needs
    return needs ? { ...operation, value: needs } : operation
  }
  if (id === 'needs' && path.at(-4) === 'nodes') {
    const source = path.at(-1) as string
    const needs = normalNode({ type: 'log', needs: { [source]: operation.value } })?.needs
    const need = isObject(needs) && Object.hasOwn(needs, source) ? needs[source] : undefined
    return need ? { ...operation, value: need } : operation
  }
  return operation
}

/** `undefined` for what is no node: the whole is validated afterwards, which says why. */
function normalNode(value: Json): JsonObject | undefined {
  const normalised = normaliseDefinition({ nodes: { node: value } })
  return normalised.ok ? (normalised.definition.nodes.node as unknown as JsonObject) : undefined
}
