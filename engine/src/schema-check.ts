/**
 * Values against JSON Schemas: a run's input, a node's config, the form of an approval.
 *
 * Owns: which dialects are understood (2020-12, and draft-07 by `$schema`), the bounded cache of compiled schemas, and
 * that no schema can hurt: patterns run on RE2 (no backtracking), remote references are refused, endless recursion ends
 * in a problem. What a failure says stands in `schema/explain.ts`.
 */
import { Ajv, type AnySchemaObject, type ErrorObject, type Options, type ValidateFunction } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { RE2JS } from 're2js'
import type { Problem } from './errors.ts'
import { isObject, type Json, type JsonObject, normalise } from './json.ts'
import { explain } from './schema/explain.ts'
import { FORMATS } from './schema/formats.ts'

export type SchemaChecked =
  | { readonly ok: true; readonly value: Json }
  | { readonly ok: false; readonly problems: Problem[] }

interface CompiledSchema {
  readonly validate: ValidateFunction
  readonly hasDefaults: boolean
}

type Compilation = { readonly compiled: CompiledSchema } | { readonly problem: Problem }

/** Everything that is wrong with the value, or the value with the schema's defaults filled in (a copy, if there are any). */
export function checkAgainstSchema(schema: JsonObject, value: Json): SchemaChecked {
  const compilation = compileSchema(schema, 'strict')
  if ('problem' in compilation) return { ok: false, problems: [compilation.problem] }
  const { compiled } = compilation
  const filled = compiled.hasDefaults ? copy(value) : value
  const problems = explain(errorsOf(compiled, filled), () => false)
  return problems.length > 0 ? { ok: false, problems } : { ok: true, value: filled }
}

/**
 * What is wrong with a config before its expressions have values: a text for which `isOpen` holds may become anything.
 * Patterns that RE2 does not know are left to the worker, which checks the final config anyway.
 */
export function checkTemplated(
  schema: JsonObject,
  value: Json,
  isOpen: (text: string, pointer: string) => boolean,
): Problem[] {
  const compilation = compileSchema(schema, 'lenient')
  if ('problem' in compilation) return [compilation.problem]
  return explain(errorsOf(compilation.compiled, value), isOpen)
}

/** The problem that makes the schema itself unusable, if there is one. */
export function checkSchema(schema: Json): Problem | null {
  if (schema === true || schema === false) return null
  if (!isObject(schema))
    return invalid('A JSON Schema is a map, such as `{ type: object, properties: { … } }`.')
  const compilation = compileSchema(schema, 'strict')
  return 'problem' in compilation ? compilation.problem : null
}

const invalid = (message: string): Problem => ({ code: 'invalid_schema', message, pointer: '' })

function errorsOf({ validate }: CompiledSchema, value: Json): ErrorObject[] {
  try {
    return validate(value) ? [] : [...(validate.errors ?? [])]
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    const message =
      'cannot be checked: the schema refers to itself without end, or the value is nested too deeply'
    return [{ keyword: 'recursion', instancePath: '', schemaPath: '#', params: {}, message }]
  } finally {
    validate.errors = null
  }
}

type Patterns = 'strict' | 'lenient'
const CACHED_SCHEMAS = 500
const MAX_SCHEMA_CHARACTERS = 256 * 1024
const byObject: Readonly<Record<Patterns, WeakMap<JsonObject, Compilation>>> = {
  strict: new WeakMap(),
  lenient: new WeakMap(),
}
/** Inline definitions arrive as new objects each time; their text is what repeats. */
const byText = new Map<string, Compilation>()

function compileSchema(schema: JsonObject, patterns: Patterns): Compilation {
  const known = byObject[patterns].get(schema)
  if (known) return known
  const text = JSON.stringify(schema)
  const key = `${patterns} ${text}`
  let compilation = byText.get(key)
  if (!compilation) {
    compilation = compileText(schema, text, patterns)
    if (byText.size >= CACHED_SCHEMAS) byText.delete(byText.keys().next().value as string)
    byText.set(key, compilation)
  }
  byObject[patterns].set(schema, compilation)
  return compilation
}

function compileText(schema: JsonObject, text: string, patterns: Patterns): Compilation {
  if (text.length > MAX_SCHEMA_CHARACTERS) {
    return {
      problem: invalid(
        `The schema has ${text.length} characters; at most ${MAX_SCHEMA_CHARACTERS} are allowed.`,
      ),
    }
  }
  const { $schema: dialect, ...rest } = schema
  const draft7 = typeof dialect === 'string' && /draft-0[67]/.test(dialect)
  // A compiled `$async` schema answers with a promise, which here would count as "valid".
  if (text.includes('"$async"'))
    return { problem: invalid('`$async` is not part of JSON Schema; remove it.') }
  const compiler = compilerFor(draft7 ? 'draft-07' : '2020-12', patterns)
  try {
    const validate = compiler.compile(rest as AnySchemaObject)
    compiler.removeSchema(rest as AnySchemaObject)
    return { compiled: { validate, hasDefaults: text.includes('"default"') } }
  } catch (error) {
    return { problem: invalid(reasonOf(error)) }
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof RangeError) return 'The schema is nested too deeply.'
  const reason = error instanceof Error ? error.message : String(error)
  const missing = (error as { missingRef?: unknown }).missingRef
  return typeof missing === 'string'
    ? `The schema refers to \`${missing}\`, which it does not contain. References to other documents are not followed; put the part under \`$defs\`.`
    : `This is not a valid JSON Schema: ${reason.replace(/^schema is invalid: /, '')}.`
}

type Dialect = '2020-12' | 'draft-07'

/** A compiler keeps parts of everything that it ever compiled, so each is replaced after a while. */
const MAX_COMPILATIONS = 1000
const compilers = new Map<string, { readonly ajv: Ajv | Ajv2020; compilations: number }>()

function compilerFor(dialect: Dialect, patterns: Patterns): Ajv | Ajv2020 {
  const key = `${dialect} ${patterns}`
  let entry = compilers.get(key)
  if (!entry || entry.compilations >= MAX_COMPILATIONS) {
    const options = optionsFor(patterns)
    entry = { ajv: dialect === 'draft-07' ? new Ajv(options) : new Ajv2020(options), compilations: 0 }
    compilers.set(key, entry)
  }
  entry.compilations++
  return entry.ajv
}

const optionsFor = (patterns: Patterns): Options => ({
  strict: false,
  allErrors: true,
  verbose: true,
  useDefaults: true,
  addUsedSchema: false,
  logger: false,
  formats: FORMATS,
  code: { regExp: patternEngine(patterns) },
})

/**
 * The `code` is for compilers that write modules; ours calls the function. Patterns are shared by what `toString` says,
 * so it must name the pattern.
 */
const patternEngine = (patterns: Patterns) =>
  Object.assign(
    (source: string): { test(text: string): boolean; toString(): string } => {
      try {
        const pattern = RE2JS.compile(RE2JS.translateRegExp(source))
        return { test: (text) => pattern.test(text), toString: () => source }
      } catch (error) {
        if (patterns === 'lenient') return { test: () => true, toString: () => source }
        const reason = error instanceof Error ? error.message : String(error)
        throw new Error(
          `the pattern ${JSON.stringify(source)} is not RE2 (no look-around, no back-references): ${reason}`,
        )
      }
    },
    { code: 'undefined' },
  )

function copy(value: Json): Json {
  const copied = normalise(value)
  // Only a value nested beyond every limit cannot be copied; it is checked as it is, and then fails.
  return copied.ok ? copied.value : value
}
