/** The shape check of a definition: zod's findings as problems that name what was meant. */
import type { z } from 'zod'
import type { Problem } from './errors.ts'
import { nearestName } from './expression/index.ts'
import { escapePointer, isObject, type Json } from './json.ts'
import { shown, unknownKey } from './schema/explain.ts'
import { RESERVED_KEYS } from './workflow-schema.ts'

type Issue = z.core.$ZodIssue

const MAX_PROBLEMS = 200

export function shapeProblems(schema: z.ZodType, value: Json, pointer: string): Problem[] {
  const result = schema.safeParse(value)
  if (result.success) return []
  const problems = result.error.issues.flatMap((issue) => problemsOf(schema, issue, value, pointer))
  return problems.slice(0, MAX_PROBLEMS)
}

function problemsOf(schema: z.ZodType, issue: Issue, root: Json, base: string): Problem[] {
  const value = valueAt(root, issue.path)
  const pointer = base + issue.path.map((segment) => `/${escapePointer(String(segment))}`).join('')
  const name = String(issue.path.at(-1) ?? '')
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys
        .filter((key) => !key.startsWith('x-'))
        .map((key) => unknown(schema, issue.path, root, pointer, key))
    case 'invalid_union': {
      const meant = meantBranch(issue)
      if (meant) {
        return meant.flatMap((inner) =>
          problemsOf(schema, { ...inner, path: [...issue.path, ...inner.path] } as Issue, root, base),
        )
      }
      return wrongType(value, pointer, name, issue.message)
    }
    case 'invalid_type':
      return wrongType(value, pointer, name, issue.message)
    case 'invalid_value': {
      if (issue.values.length === 1) return wrongType(value, pointer, name, issue.message)
      const names = issue.values.map(String)
      const suggestion = typeof value === 'string' ? nearestName(value, names) : undefined
      const advice = suggestion ? ` Did you mean \`${suggestion}\`?` : ''
      const allowed = names.map((each) => `\`${each}\``).join(' or ')
      if (value === null || value === undefined) return []
      return [
        {
          code: 'invalid_value',
          message: `\`${name}\` must be ${allowed}, but is ${shown(value)}.${advice}`,
          pointer,
          ...(suggestion ? { suggestion } : {}),
        },
      ]
    }
    case 'invalid_key':
      // Ids are judged by the normaliser, which can say what to write instead.
      return []
    case 'too_small':
      return [
        {
          code: 'invalid_value',
          message: `\`${name}\` must ${issue.origin === 'number' ? `be at least ${issue.minimum}` : 'not be empty'}.`,
          pointer,
        },
      ]
    case 'too_big':
      return [{ code: 'invalid_value', message: `\`${name}\` must be at most ${issue.maximum}.`, pointer }]
    default:
      return [
        {
          code: 'invalid_value',
          message: `\`${name}\` must be ${issue.message}, but is ${shown(value)}.`,
          pointer,
        },
      ]
  }
}

/** An empty key in YAML is null, and means that nothing was written. */
function wrongType(value: Json | undefined, pointer: string, name: string, expected: string): Problem[] {
  const parent = pointer.slice(0, pointer.lastIndexOf('/'))
  if (value === undefined || (value === null && REQUIRED.has(name))) {
    return [
      {
        code: 'missing_key',
        message: `\`${name}\` is missing: ${expected}.`,
        pointer: value === undefined ? parent : pointer,
      },
    ]
  }
  if (value === null && name !== '' && !/^\d+$/.test(name)) return []
  const what = name === '' ? 'This' : `\`${name}\``
  return [{ code: 'wrong_type', message: `${what} must be ${expected}, but is ${shown(value)}.`, pointer }]
}

const REQUIRED: ReadonlySet<string> = new Set(['nodes', 'type', 'id', 'from', 'to', 'attempts', 'items'])

/** The one form of a union whose kind the value has. */
function meantBranch(issue: Extract<Issue, { code: 'invalid_union' }>): Issue[] | undefined {
  const fitting = issue.errors.filter(
    (issues) =>
      !issues.some(
        ({ code, path }) => path.length === 0 && (code === 'invalid_type' || code === 'invalid_value'),
      ),
  )
  return fitting.length === 1 ? fitting[0] : undefined
}

/** Clients that read YAML 1.1 turn the bare words `on` and `yes` into true before they send the document on. */
function unknown(
  schema: z.ZodType,
  path: readonly PropertyKey[],
  root: Json,
  pointer: string,
  key: string,
): Problem {
  const where = `${pointer}/${escapePointer(key)}`
  if (RESERVED_KEYS.has(key)) {
    return {
      code: 'reserved',
      message: `\`${key}\` is reserved for later and does nothing yet. Remove it.`,
      pointer: where,
    }
  }
  const known = knownKeys(schema, path, root)
  if (key === 'true' && known.includes('on')) {
    return {
      code: 'unknown_key',
      message:
        'This key is the boolean `true`: some program read the bare word `on` by the rules of YAML 1.1. Write `"on"` in quotes there.',
      pointer: where,
      suggestion: 'on',
    }
  }
  if (key === '<<') {
    return {
      code: 'unknown_key',
      message: '`<<` merges maps in YAML 1.1 only; write the keys out.',
      pointer: where,
    }
  }
  return unknownKey(pointer, key, known)
}

function valueAt(root: Json, path: readonly PropertyKey[]): Json | undefined {
  let value: Json | undefined = root
  for (const segment of path) {
    if (Array.isArray(value)) value = value[Number(segment)]
    else if (isObject(value) && Object.hasOwn(value, segment)) value = value[String(segment)]
    else return undefined
  }
  return value
}

/** The keys of the strict map in the schema at a path of the value. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[], root: Json): string[] {
  let candidates = unfold(schema)
  let value: Json | undefined = root
  for (const segment of path) {
    const container = value
    candidates = candidates.flatMap((candidate) => {
      const { def } = candidate._zod as unknown as { def: Definitional }
      if (def.type === 'object' && def.shape && Object.hasOwn(def.shape, segment))
        return unfold(def.shape[String(segment)] as z.ZodType)
      if (def.type === 'record' && isObject(container)) return unfold(def.valueType as z.ZodType)
      if (def.type === 'array' && Array.isArray(container)) return unfold(def.element as z.ZodType)
      return []
    })
    value = valueAt(value as Json, [segment])
  }
  return candidates.flatMap((candidate) => {
    const { def } = candidate._zod as unknown as { def: Definitional }
    return def.type === 'object' && def.shape ? Object.keys(def.shape) : []
  })
}

interface Definitional {
  readonly type: string
  readonly shape?: Readonly<Record<string, z.ZodType>>
  readonly valueType?: z.ZodType
  readonly element?: z.ZodType
  readonly innerType?: z.ZodType
  readonly options?: readonly z.ZodType[]
}

/** A schema without its wrappers; each form of a union. */
function unfold(schema: z.ZodType): z.ZodType[] {
  const { def } = schema._zod as unknown as { def: Definitional }
  if (def.innerType) return unfold(def.innerType)
  if (def.options) return def.options.flatMap(unfold)
  return [schema]
}

/** A copy without the parts at these pointers; in a list `null` takes their place, so that the others keep their numbers. */
export function cutOut(value: Json, pointers: ReadonlySet<string>, at = ''): Json {
  if (Array.isArray(value)) {
    return value.map((item, index) => {
      const pointer = `${at}/${index}`
      return pointers.has(pointer) ? null : cutOut(item, pointers, pointer)
    })
  }
  if (!isObject(value)) return value
  const entries: [string, Json][] = []
  for (const [key, item] of Object.entries(value)) {
    const pointer = `${at}/${escapePointer(key)}`
    if (!pointers.has(pointer)) entries.push([key, cutOut(item, pointers, pointer)])
  }
  return Object.fromEntries(entries)
}
