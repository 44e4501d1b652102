/**
 * Content addresses. Pure JavaScript, so that the browser names a graph as the server does.
 *
 * Invariants: equal JSON values have equal hashes whatever the order of their keys; two definitions with equal hashes
 * compile to the same graph (R9).
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import type { Definition, NodeDefinition } from './definition.ts'
import { isObject, type Json } from './json.ts'

/** JSON with the keys of every map in order of their UTF-16 units, and no white space. */
export function canonicalJson(value: Json): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`
  const keys = Object.keys(value).sort()
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] as Json)}`).join()}}`
}

export const hashBytes = (bytes: Uint8Array): string => `sha256:${bytesToHex(sha256(bytes))}`

/** Of the text's UTF-8 form. */
export const hashText = (text: string): string => hashBytes(utf8ToBytes(text))

export const hashJson = (value: Json): string => hashText(canonicalJson(value))

/** Of the normal form, without what does not change a run: `ui` and `labels`. */
export function definitionHash(definition: Definition): string {
  const { ui: _ui, labels: _labels, ...rest } = definition
  return hashJson({ ...rest, nodes: orderedCases(definition.nodes) } as unknown as Json)
}

/** A branch takes its first true case: the order of its cases is meaning, so here they stand in a list. */
function orderedCases(nodes: Readonly<Record<string, NodeDefinition>>): Json {
  const changed: Record<string, Json> = {}
  for (const [id, node] of Object.entries(nodes)) {
    const config = node.with
    if (node.type === 'branch' && isObject(config?.cases)) {
      changed[id] = {
        ...node,
        with: { ...config, cases: Object.entries(config.cases) },
      } as unknown as Json
    } else if (node.type === 'workflow' && isObject(config?.nodes)) {
      const body = orderedCases(config.nodes as unknown as Record<string, NodeDefinition>)
      changed[id] = { ...node, with: { ...config, nodes: body } } as unknown as Json
    }
  }
  return { ...(nodes as unknown as Record<string, Json>), ...changed }
}
