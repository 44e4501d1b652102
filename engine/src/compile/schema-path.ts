/**
 * Whether a JSON Schema leaves room for a path: the static check of `steps.x.output.a.b` and `input.a`.
 *
 * Errs on the side of silence: whatever it does not understand leaves room.
 */
import { isObject, type Json, type JsonObject } from '../json.ts'

export interface Exclusion {
  /** Index of the segment that does not fit. */
  readonly at: number
  /** `closed`: the schema forbids it. `open`: it merely does not mention it. */
  readonly strength: 'closed' | 'open'
  /** What there is instead: keys of a map, or the kind of value that has none. */
  readonly found: { readonly keys: readonly string[] } | { readonly kind: string }
}

const MAX_STEPS = 200

export function exclusion(schema: Json, path: readonly string[]): Exclusion | null {
  return new Walk(schema, path).visit(schema, 0)
}

class Walk {
  readonly #root: Json
  readonly #path: readonly string[]
  #left = MAX_STEPS

  constructor(root: Json, path: readonly string[]) {
    this.#root = root
    this.#path = path
  }

  visit(schema: Json | undefined, at: number): Exclusion | null {
    if (at >= this.#path.length || !isObject(schema) || this.#left-- <= 0) return null
    if (typeof schema.$ref === 'string') return this.visit(this.#resolve(schema.$ref), at)
    const own = this.#own(schema, at)
    const { allOf, anyOf, oneOf } = schema
    const combined = [allOf, anyOf, oneOf].some(Array.isArray) || isObject(schema.then)
    if (own && !(own.strength === 'open' && combined)) return own
    if (Array.isArray(allOf)) {
      for (const part of allOf) {
        const excluded = this.visit(part, at)
        if (excluded?.strength === 'closed') return excluded
      }
    }
    return this.#choice(anyOf, at) ?? this.#choice(oneOf, at)
  }

  /** Excluded when every form excludes it; the form null does not count, since selecting from null is null. */
  #choice(forms: Json | undefined, at: number): Exclusion | null {
    if (!Array.isArray(forms)) return null
    const exclusions = forms.filter((form) => !isNull(form)).map((form) => this.visit(form, at))
    const first = exclusions[0]
    if (!first || exclusions.includes(null)) return null
    const strength = exclusions.some((each) => each?.strength === 'open') ? 'open' : 'closed'
    const keys = exclusions.flatMap((each) => (each && 'keys' in each.found ? each.found.keys : []))
    return { at: first.at, strength, found: keys.length > 0 ? { keys: [...new Set(keys)] } : first.found }
  }

  #own(schema: JsonObject, at: number): Exclusion | null {
    const segment = this.#path[at] as string
    const types = typesOf(schema)
    const map = types === null || types.includes('object')
    const list = types === null || types.includes('array')
    if (!map && !list) {
      const [kind] = (types ?? []).filter((type) => type !== 'null')
      return kind === undefined ? null : { at, strength: 'closed', found: { kind } }
    }
    if (list && !map) return this.#inList(schema, at, segment)
    if (types !== null && list) return null
    return this.#inMap(schema, at, segment)
  }

  #inList(schema: JsonObject, at: number, segment: string): Exclusion | null {
    if (!/^\d+$/.test(segment)) return { at, strength: 'closed', found: { kind: 'array' } }
    const tuple = Array.isArray(schema.prefixItems) ? schema.prefixItems : []
    return this.visit(tuple[Number(segment)] ?? schema.items, at + 1)
  }

  #inMap(schema: JsonObject, at: number, segment: string): Exclusion | null {
    const properties = isObject(schema.properties) ? schema.properties : {}
    if (Object.hasOwn(properties, segment)) return this.visit(properties[segment], at + 1)
    const { additionalProperties, unevaluatedProperties } = schema
    if (isObject(schema.patternProperties)) return null
    if (isObject(additionalProperties)) return this.visit(additionalProperties, at + 1)
    const keys = Object.keys(properties)
    if (additionalProperties === false || unevaluatedProperties === false) {
      return { at, strength: 'closed', found: { keys } }
    }
    return keys.length > 0 && additionalProperties === undefined
      ? { at, strength: 'open', found: { keys } }
      : null
  }

  #resolve(reference: string): Json | undefined {
    if (!reference.startsWith('#')) return undefined
    let value: Json | undefined = this.#root
    for (const segment of reference.slice(1).split('/').slice(1)) {
      const key = segment.replaceAll('~1', '/').replaceAll('~0', '~')
      if (Array.isArray(value)) value = value[Number(key)]
      else value = isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined
    }
    return value
  }
}

const isNull = (schema: Json): boolean => isObject(schema) && schema.type === 'null'

function typesOf(schema: JsonObject): string[] | null {
  const { type } = schema
  if (typeof type === 'string') return [type]
  if (Array.isArray(type)) return type.map(String)
  return null
}

/** The schema that follows from a value with expressions in it: what is written is there, and nothing else. */
export function schemaOfTemplate(value: Json | undefined, depth = 0): Json {
  if (value === undefined || depth > 10) return true
  if (typeof value === 'string') return value.includes('${{') ? true : { type: 'string' }
  if (Array.isArray(value))
    return { type: 'array', prefixItems: value.map((item) => schemaOfTemplate(item, depth + 1)) }
  if (!isObject(value)) return value === null ? { type: 'null' } : { type: typeof value }
  const properties: [string, Json][] = Object.entries(value).map(([key, item]) => [
    key,
    schemaOfTemplate(item, depth + 1),
  ])
  return { type: 'object', properties: Object.fromEntries(properties), additionalProperties: false }
}
