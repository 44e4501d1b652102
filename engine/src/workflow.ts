/**
 * From what an author wrote to the normal form of `definition.ts`.
 *
 * Owns: the accepted spellings and the list form; every problem of shape. Meaning (do the names exist, do the expressions
 * compile) is `compile.ts`.
 * Invariants: never throws on JSON; normalising a normal form changes nothing; problems point into the author's document,
 * and so does {@link Normalisation.toAuthor} for problems that are found later in the normal form.
 */
import type { Definition, ForEachDefinition, Need, NodeDefinition } from './definition.ts'
import type { Problem } from './errors.ts'
import { nearestName } from './expression/index.ts'
import { escapePointer, isObject, type Json, type JsonObject } from './json.ts'
import { shown } from './schema/explain.ts'
import { bodySchema, definitionSchema, ID_PATTERN } from './workflow-schema.ts'
import { cutOut, shapeProblems } from './workflow-shape.ts'

export { workflowJsonSchema } from './workflow-schema.ts'

export interface NormalForm {
  readonly definition: Definition
  /** Where in the author's document a part of the normal form was written. */
  readonly toAuthor: (pointer: string) => string
}

export type Normalised =
  | (NormalForm & { readonly ok: true; readonly partial: NormalForm })
  | {
      readonly ok: false
      readonly problems: Problem[]
      /** What is left when everything of a wrong shape is left out, so that the rest can be judged as well. */
      readonly partial: NormalForm | null
    }

/** The name of a definition that has none: one that is submitted inline. */
export const UNNAMED = 'unnamed'

export const MAX_BODY_NESTING = 8

export function normaliseDefinition(value: Json): Normalised {
  if (!isObject(value)) {
    const message = `A workflow definition is a map with \`nodes\`, but this is ${shown(value)}.`
    return { ok: false, problems: [{ code: 'wrong_type', message, pointer: '' }], partial: null }
  }
  const problems = shapeProblems(definitionSchema, value, '')
  const normaliser = new Normaliser()
  const definition = normaliser.definition(value)
  const form = { definition, toAuthor: (pointer: string) => normaliser.toAuthor(pointer) }
  const all = [...problems, ...normaliser.problems]
  return all.length > 0
    ? { ok: false, problems: all, partial: partialForm(value, all) }
    : { ok: true, ...form, partial: form }
}

/** Cutting out what is wrong can uncover more of it; after a few rounds that is given up. */
const MAX_CUTS = 3

function partialForm(value: JsonObject, problems: readonly Problem[]): NormalForm | null {
  const wrong = new Set<string>()
  let found = problems
  for (let round = 0; round < MAX_CUTS; round++) {
    for (const { pointer, code } of found) if (isToCut(code)) wrong.add(pointer)
    const left = cutOut(value, wrong) as JsonObject
    if (!isObject(left.nodes) && !Array.isArray(left.nodes)) return null
    const normaliser = new Normaliser()
    const shape = shapeProblems(definitionSchema, left, '')
    const definition = normaliser.definition(left)
    found = [...shape, ...normaliser.problems].filter(
      ({ pointer, code }) => isToCut(code) && !wrong.has(pointer),
    )
    if (found.length === 0) return { definition, toAuthor: (pointer) => normaliser.toAuthor(pointer) }
  }
  return null
}

/** A node with a wrong id is judged under the id that was meant, and what is missing cannot be cut out. */
const isToCut = (code: string): boolean => code !== 'missing_key' && code !== 'invalid_id'

/** The id that was probably meant, such as `send_mail` for `send-Mail`. */
function guessedId(id: string): string | null {
  const guess = id
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '_')
    .replace(/^[^a-z]+/, '')
    .slice(0, 63)
  return ID_PATTERN.test(guess) ? guess : null
}

/** What an id should look like, and what to write instead. */
export function idMessage(id: string): string {
  const guess = guessedId(id)
  const advice = guess === null ? '' : ` Write \`${guess}\`.`
  if (id.includes('-'))
    return `In \`${id.slice(0, 80)}\` the hyphen would be a minus in expressions; ids have underscores.${advice}`
  return `\`${id.slice(0, 80)}\` is no id of a node: ids begin with a small letter and have small letters, digits and underscores, at most 63.${advice}`
}

const DEFINITION_KEYS = ['limits', 'patches', 'unknownTypes', 'onFailure'] as const

/** Reads only what has the right shape; everything else already is a problem of the shape check. */
class Normaliser {
  readonly problems: Problem[] = []
  /** Normal pointer to author's pointer, where they differ. */
  readonly #origins = new Map<string, string>()

  toAuthor(pointer: string): string {
    if (this.#origins.size === 0) return pointer
    for (let end = pointer.length; end > 0; end = pointer.lastIndexOf('/', end - 1)) {
      const origin = this.#origins.get(pointer.slice(0, end))
      if (origin !== undefined) return origin + pointer.slice(end)
    }
    return pointer
  }

  definition(value: JsonObject): Definition {
    const nodes = this.nodes(value, { normal: '', author: '' }, 1)
    const definition: Record<string, Json> = { weft: 1, name: textOr(value.name, UNNAMED) }
    copyPresent(value, definition, ['description', 'input'])
    definition.nodes = nodes as unknown as Json
    copyPresent(value, definition, ['output'])
    for (const key of DEFINITION_KEYS) {
      const part = value[key]
      if (isObject(part)) definition[key] = withoutNulls(part)
      else if (part !== undefined && part !== null) definition[key] = part
    }
    if (isObject(value.labels)) {
      const entries = Object.entries(withoutNulls(value.labels)).map(
        ([key, label]) => [key, String(label)] as const,
      )
      definition.labels = Object.fromEntries(entries)
    }
    copyPresent(value, definition, ['ui'])
    copyExtensions(value, definition)
    return definition as unknown as Definition
  }

  /** The nodes of a definition or of an inline body, from either form. */
  nodes(holder: JsonObject, at: Place, depth: number): Record<string, NodeDefinition> {
    const written = holder.nodes
    const result: Record<string, NodeDefinition> = {}
    const places = new Map<string, Place>()
    const names = new Names()
    if (Array.isArray(written)) {
      for (const node of written) if (isObject(node) && typeof node.id === 'string') names.add(node.id)
      for (const [index, node] of written.entries()) {
        const written = isObject(node) ? node.id : undefined
        if (!isObject(node) || typeof written !== 'string') continue
        const author = `${at.author}/nodes/${index}`
        const id = this.#acceptId(written, names, `${author}/id`)
        if (id === null) continue
        if (places.has(id)) {
          this.#report('duplicate_id', `There are two nodes \`${id}\`; ids are unique.`, `${author}/id`)
          continue
        }
        const place = { normal: `${at.normal}/nodes/${id}`, author }
        this.#origins.set(place.normal, author)
        places.set(id, place)
        result[id] = this.#node(node, place, names, depth)
      }
    } else if (isObject(written)) {
      for (const id of Object.keys(written)) names.add(id)
      for (const [key, node] of Object.entries(written)) {
        const { author } = below(at, 'nodes', key)
        const id = this.#acceptId(key, names, author)
        if (id === null || !isObject(node)) continue
        const place = { normal: below(at, 'nodes', id).normal, author }
        if (place.normal !== place.author) this.#origins.set(place.normal, author)
        places.set(id, place)
        result[id] = this.#node(node, place, names, depth)
      }
    }
    if (Array.isArray(holder.edges)) this.#edges(holder.edges, at, result, places, names)
    return result
  }

  /** The id under which the node is judged, or `null`. */
  #acceptId(written: string, names: Names, pointer: string): string | null {
    if (ID_PATTERN.test(written)) return written
    this.#report('invalid_id', idMessage(written), pointer)
    return names.meant(written)
  }

  #report(code: string, message: string, pointer: string, suggestion?: string): void {
    this.problems.push({ code, message, pointer, ...(suggestion ? { suggestion } : {}) })
  }

  #node(value: JsonObject, at: Place, names: Names, depth: number): NodeDefinition {
    const node: Record<string, Json> = { type: textOr(value.type, '') }
    copyPresent(value, node, ['name', 'notes'])
    const needs = this.#needs(value.needs, at, names)
    if (Object.keys(needs).length > 0) node.needs = needs as unknown as Json
    const config = value.with
    if (isObject(config)) {
      node.with = value.type === 'workflow' && 'nodes' in config ? this.#body(config, at, depth) : config
    }
    const credentials = this.#credentials(value, at)
    if (credentials) node.credentials = credentials
    if (value.when !== undefined && value.when !== null) node.when = conditionText(value.when)
    const { retry } = value
    if (retry === false) node.retry = 'off'
    else if (isObject(retry)) node.retry = withoutNulls(retry)
    else if (retry !== undefined && retry !== null) node.retry = retry
    copyPresent(value, node, ['timeout'])
    const forEach = this.#forEach(value.forEach, at)
    if (forEach) node.forEach = forEach as unknown as Json
    if (isObject(value.repeat)) {
      const repeat = withoutNulls(value.repeat)
      if ('until' in repeat) repeat.until = conditionText(repeat.until as Json)
      node.repeat = repeat
    }
    copyPresent(value, node, ['onError', 'join'])
    copyExtensions(value, node)
    return node as unknown as NodeDefinition
  }

  #needs(value: Json | undefined, at: Place, names: Names): Record<string, Need> {
    const needs: Record<string, Need> = {}
    const add = (written: string, need: Need, author: string): void => {
      const id = names.meant(written) ?? written
      // Such a key would not become a key. Whether the other names exist is seen when the graph is compiled.
      if (id === '__proto__') this.#report('unknown_step', '`__proto__` is not a node.', author)
      else if (Object.hasOwn(needs, id)) this.#report('duplicate_edge', `\`${id}\` is named twice.`, author)
      else needs[id] = need
      this.#origins.set(`${at.normal}/needs/${escapePointer(id)}`, author)
    }
    const author = `${at.author}/needs`
    if (typeof value === 'string') add(value, { on: ['success'] }, author)
    else if (Array.isArray(value)) {
      for (const [index, id] of value.entries()) {
        if (typeof id === 'string') add(id, { on: ['success'] }, `${author}/${index}`)
      }
    } else if (isObject(value)) {
      for (const [id, need] of Object.entries(value)) add(id, needOf(need), `${author}/${escapePointer(id)}`)
    }
    return needs
  }

  /** Edges of the list form become the needs of their targets. */
  #edges(
    edges: readonly Json[],
    at: Place,
    nodes: Record<string, NodeDefinition>,
    places: ReadonlyMap<string, Place>,
    names: Names,
  ): void {
    for (const [index, edge] of edges.entries()) {
      if (!isObject(edge)) continue
      const from = typeof edge.from === 'string' ? (names.meant(edge.from) ?? edge.from) : edge.from
      const to = typeof edge.to === 'string' ? (names.meant(edge.to) ?? edge.to) : edge.to
      const author = `${at.author}/edges/${index}`
      let known = true
      for (const [end, id] of [
        ['from', from],
        ['to', to],
      ] as const) {
        if (typeof id !== 'string' || !Object.hasOwn(nodes, id)) {
          known = false
          if (typeof id === 'string') this.#unknownEnd(id, nodes, `${author}/${end}`)
        }
      }
      if (!known) continue
      const target = nodes[to as string] as NodeDefinition
      target.needs ??= {}
      const need = needOf(edge)
      const earlier = Object.hasOwn(target.needs, from as string) ? target.needs[from as string] : undefined
      if (!earlier) {
        target.needs[from as string] = need
        this.#origins.set(`${places.get(to as string)?.normal}/needs/${from as string}`, author)
      } else if (earlier.when === need.when) {
        earlier.on = [...new Set([...earlier.on, ...need.on])]
      } else {
        const message = `There is already an edge from \`${from}\` to \`${to}\`, with another condition. Write one edge with both conditions joined by \`||\`.`
        this.#report('duplicate_edge', message, author)
      }
    }
  }

  #unknownEnd(id: string, nodes: Readonly<Record<string, NodeDefinition>>, pointer: string): void {
    const suggestion = nearestName(id, Object.keys(nodes))
    const advice = suggestion ? ` Did you mean \`${suggestion}\`?` : ''
    this.#report('unknown_step', `There is no node \`${id.slice(0, 80)}\`.${advice}`, pointer, suggestion)
  }

  #credentials(value: JsonObject, at: Place): JsonObject | null {
    const { credential, credentials } = value
    const roles = isObject(credentials) ? withoutNulls(credentials) : {}
    if (typeof credential === 'string') {
      if (Object.hasOwn(roles, 'default')) {
        const message =
          'The default credential is named twice, by `credential` and by `credentials.default`. Keep one.'
        this.#report('duplicate_credential', message, `${at.author}/credential`)
      }
      this.#origins.set(`${at.normal}/credentials/default`, `${at.author}/credential`)
      return { default: credential, ...roles }
    }
    return Object.keys(roles).length > 0 ? roles : null
  }

  #forEach(value: Json | undefined, at: Place): ForEachDefinition | null {
    if (value === undefined || value === null) return null
    if (isObject(value)) return withoutNulls(value) as unknown as ForEachDefinition
    this.#origins.set(`${at.normal}/forEach/items`, `${at.author}/forEach`)
    return { items: value }
  }

  #body(config: JsonObject, at: Place, depth: number): JsonObject {
    const place = { normal: `${at.normal}/with`, author: `${at.author}/with` }
    if ('workflow' in config) return config
    if (depth > MAX_BODY_NESTING) {
      this.#report('nesting_too_deep', `Bodies may be nested at most ${MAX_BODY_NESTING} deep.`, place.author)
      return {}
    }
    this.problems.push(...shapeProblems(bodySchema, config, place.author))
    const { edges: _edges, ...rest } = config
    return { ...rest, nodes: this.nodes(config, place, depth + 1) as unknown as Json }
  }
}

/** The ids of one scope as they were written, and the ones that the wrong ones stand for. */
class Names {
  readonly #meant = new Map<string, string>()
  readonly #written = new Set<string>()

  add(id: string): void {
    this.#written.add(id)
    const guess = ID_PATTERN.test(id) ? id : guessedId(id)
    if (guess !== null) this.#meant.set(id, guess)
  }

  /** `null` for a name that is no node's, and for a wrong one that would be taken for another node. */
  meant(id: string): string | null {
    const guess = this.#meant.get(id) ?? null
    return guess === id || guess === null || !this.#written.has(guess) ? guess : null
  }
}

/** The same part in the normal form and in the author's document. */
interface Place {
  readonly normal: string
  readonly author: string
}

const below = (at: Place, ...segments: string[]): Place => {
  const path = segments.map((segment) => `/${escapePointer(segment)}`).join('')
  return { normal: at.normal + path, author: at.author + path }
}

function needOf(value: Json): Need {
  if (!isObject(value)) return { on: outcomesOf(value) }
  const need: Need = { on: outcomesOf(value.on ?? null) }
  if (value.when !== undefined && value.when !== null) need.when = conditionText(value.when)
  return need
}

function outcomesOf(value: Json): string[] {
  if (typeof value === 'string') return [value]
  const names = Array.isArray(value) ? value.filter((name) => typeof name === 'string') : []
  return names.length > 0 ? [...new Set(names)] : ['success']
}

/** `when: true` in YAML is a boolean; expressions are text. */
const conditionText = (value: Json): string => (typeof value === 'string' ? value : String(value))

const textOr = (value: Json | undefined, otherwise: string): string =>
  typeof value === 'string' ? value : otherwise

function withoutNulls(value: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([, part]) => part !== null))
}

function copyPresent(from: JsonObject, to: Record<string, Json>, keys: readonly string[]): void {
  for (const key of keys) {
    const value = from[key]
    if (value !== undefined && value !== null) to[key] = value
  }
}

function copyExtensions(from: JsonObject, to: Record<string, Json>): void {
  for (const [key, value] of Object.entries(from)) if (key.startsWith('x-')) to[key] = value
}
