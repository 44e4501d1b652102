/**
 * From a schema compiler's errors to problems that a person understands.
 *
 * Owns: the sentences; and which errors are worth a sentence. Where a value fits none of several forms the compiler
 * reports the failures of every form: here only those of the form that was meant remain, or one sentence for all.
 */
import type { ErrorObject } from 'ajv'
import type { Problem } from '../errors.ts'
import { nearestName } from '../expression/index.ts'
import { listNames, shorten } from '../expression/nearest.ts'
import { escapePointer, isObject } from '../json.ts'

const MAX_PROBLEMS = 50

const CHOICES: ReadonlySet<string> = new Set(['anyOf', 'oneOf'])
/** Reported beside the errors that caused them, about which they say nothing new. */
const ECHOES: ReadonlySet<string> = new Set(['if', 'propertyNames', 'allOf'])

export function explain(
  errors: readonly ErrorObject[],
  isOpen: (text: string, pointer: string) => boolean,
): Problem[] {
  const open = new Set<string>()
  for (const { data, instancePath } of errors) {
    if (typeof data === 'string' && isOpen(data, instancePath)) open.add(instancePath)
  }
  let left = errors.filter(({ instancePath }) => !open.has(instancePath))
  // Outermost choices come last: each takes the failures of its own forms, inner choices included.
  for (let at = left.length - 1; at >= 0; at--) {
    const choice = left[at] as ErrorObject
    if (!CHOICES.has(choice.keyword)) continue
    const inside = left.filter((error) => error !== choice && belongsTo(error, choice))
    const depends = [...open].some((pointer) => pointer.startsWith(`${choice.instancePath}/`))
    const meant = depends ? [] : meantForm(choice, inside)
    const drop = new Set<ErrorObject>(inside.filter((error) => !meant?.includes(error)))
    if (meant) drop.add(choice)
    left = left.filter((error) => !drop.has(error))
    at = Math.min(at, left.length)
  }
  const problems = left.filter(({ keyword }) => !ECHOES.has(keyword)).map(problemOf)
  return dedupe(problems)
}

function belongsTo(error: ErrorObject, choice: ErrorObject): boolean {
  if (error.instancePath !== choice.instancePath && !error.instancePath.startsWith(`${choice.instancePath}/`))
    return false
  return formsOf(choice).some((form) => form.prefixes.some((prefix) => error.schemaPath.startsWith(prefix)))
}

/** Where the errors of each form of a choice are said to come from. */
function formsOf(choice: ErrorObject): { prefixes: string[]; required: string[] }[] {
  const forms: unknown[] = Array.isArray(choice.schema) ? choice.schema : []
  return forms.map((form, index) => {
    const prefixes = [`${choice.schemaPath}/${index}/`]
    const schema = isObject(form) ? form : {}
    if (typeof schema.$ref === 'string') prefixes.push(`${schema.$ref}/`)
    const required = Array.isArray(schema.required) ? schema.required.map(String) : []
    return { prefixes, required }
  })
}

/** The failures of the one form whose kind the value has; `undefined` when it could be any, or none. */
function meantForm(choice: ErrorObject, inside: readonly ErrorObject[]): ErrorObject[] | undefined {
  const candidates = formsOf(choice)
    .map(({ prefixes }) =>
      inside.filter((error) => prefixes.some((prefix) => error.schemaPath.startsWith(prefix))),
    )
    .filter((errors) => errors.length > 0)
    .filter((errors) => !errors.some((error) => decidesKind(error, choice.instancePath)))
  return candidates.length === 1 ? candidates[0] : undefined
}

const decidesKind = (error: ErrorObject, pointer: string): boolean =>
  error.keyword === 'const' ||
  (error.instancePath === pointer && (error.keyword === 'type' || error.keyword === 'enum'))

function dedupe(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>()
  const result: Problem[] = []
  for (const problem of problems) {
    const key = `${problem.pointer} ${problem.message}`
    if (seen.has(key)) continue
    seen.add(key)
    result.push(problem)
    if (result.length === MAX_PROBLEMS) break
  }
  return result
}

function problemOf(error: ErrorObject): Problem {
  const { instancePath: pointer, params } = error
  switch (error.keyword) {
    case 'required': {
      const key = String(params.missingProperty)
      return { code: 'missing_key', message: `\`${shorten(key)}\` is missing.`, pointer }
    }
    case 'additionalProperties':
    case 'unevaluatedProperties': {
      const key = String(params.additionalProperty ?? params.unevaluatedProperty)
      return unknownKey(pointer, key, propertiesOf(error))
    }
    case 'type':
      return {
        code: 'wrong_type',
        message: `${place(pointer)} must be ${typeNames(params.type)}, but is ${shown(error.data)}.`,
        pointer,
      }
    case 'enum':
      return notAmong(error, (params.allowedValues as unknown[]) ?? [])
    case 'const':
      return notAmong(error, [params.allowedValue])
    case 'anyOf':
    case 'oneOf':
      return { code: 'invalid_value', message: choiceMessage(error), pointer }
    case 'false schema':
      return { code: 'invalid_value', message: `${place(pointer)} must not be given.`, pointer }
    default:
      return {
        code: 'invalid_value',
        message: `${place(pointer)} ${error.message ?? 'is not valid'}.`,
        pointer,
      }
  }
}

/** The sentence for a key that is not known, wherever it stands. */
export function unknownKey(pointer: string, key: string, known: readonly string[]): Problem {
  const suggestion = nearestName(key, known)
  const advice = suggestion ? `Did you mean \`${suggestion}\`?` : ''
  const names = known.length > 0 ? `Known keys are ${listNames(known)}.` : 'No keys are known here.'
  return {
    code: 'unknown_key',
    message: [`\`${shorten(key)}\` is not a key that is known here.`, advice, names]
      .filter(Boolean)
      .join(' '),
    pointer: `${pointer}/${escapePointer(key)}`,
    ...(suggestion ? { suggestion } : {}),
  }
}

function propertiesOf(error: ErrorObject): string[] {
  const properties = (error.parentSchema as { properties?: unknown } | undefined)?.properties
  return isObject(properties) ? Object.keys(properties) : []
}

function notAmong(error: ErrorObject, allowed: readonly unknown[]): Problem {
  const names = allowed.map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
  const suggestion = typeof error.data === 'string' ? nearestName(error.data, names) : undefined
  const advice = suggestion ? ` Did you mean \`${suggestion}\`?` : ''
  const expected = names.length === 1 ? listNames(names) : `one of ${listNames(names)}`
  return {
    code: 'invalid_value',
    message: `${place(error.instancePath)} must be ${expected}, but is ${shown(error.data)}.${advice}`,
    pointer: error.instancePath,
    ...(suggestion ? { suggestion } : {}),
  }
}

function choiceMessage(choice: ErrorObject): string {
  const forms = formsOf(choice)
  const keys = [...new Set(forms.flatMap(({ required }) => required))]
  const tooMany = choice.keyword === 'oneOf' && choice.params.passingSchemas !== null
  if (keys.length > 0 && isObject(choice.data) && forms.every(({ required }) => required.length > 0)) {
    return tooMany ? `Only one of ${listNames(keys)} may be given.` : `One of ${listNames(keys)} is missing.`
  }
  const types = typesOf(choice)
  if (types && !tooMany) {
    return `${place(choice.instancePath)} must be ${typeNames(types)}, but is ${shown(choice.data)}.`
  }
  return tooMany
    ? `${place(choice.instancePath)} fits more than one of the forms it may take, and must fit exactly one.`
    : `${place(choice.instancePath)} is ${shown(choice.data)}, which fits none of the forms it may take.`
}

/** The types of the forms, when the value has none of them. */
function typesOf(choice: ErrorObject): string[] | null {
  const forms: unknown[] = Array.isArray(choice.schema) ? choice.schema : []
  const types = forms.map((form) => (isObject(form) && typeof form.type === 'string' ? form.type : null))
  const own = choice.data === null ? 'null' : Array.isArray(choice.data) ? 'array' : typeof choice.data
  const fits = types.some((type) => type === own || (type === 'integer' && own === 'number'))
  return fits || types.includes(null) ? null : [...new Set(types as string[])]
}

const place = (pointer: string): string =>
  pointer === ''
    ? 'The value'
    : `\`${shorten(
        pointer
          .slice(pointer.lastIndexOf('/') + 1)
          .replaceAll('~1', '/')
          .replaceAll('~0', '~'),
      )}\``

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  null: 'null',
}

const typeNames = (type: unknown): string =>
  (Array.isArray(type) ? type : String(type).split(','))
    .map((name: unknown) => TYPE_NAMES[String(name)] ?? String(name))
    .join(' or ')

/** A value as a sentence names it: its kind, and itself where it is short. */
export function shown(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return 'a list'
  switch (typeof value) {
    case 'object':
      return 'a map'
    case 'string':
      return `the text ${JSON.stringify(shorten(value, 40))}`
    default:
      return `\`${String(value)}\``
  }
}
