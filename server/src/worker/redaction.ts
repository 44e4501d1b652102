/**
 * Takes secrets out of what leaves an attempt (R14): output, errors, log lines, recorded values.
 *
 * Two measures. Known values, those of the credentials that the attempt read, are found in every form in which they
 * usually travel: as they are, in base64 (also inside a longer text, where the alignment shifts it), URL-encoded,
 * JSON-escaped. Patterns of well-known tokens apply to texts for people only, never to data that later steps read.
 */
import type { Json, JsonObject } from '@weft/engine'

/** Shorter values would hit innocent text. */
const MIN_SECRET_LENGTH = 8
export const REDACTED = '[redacted]'

/** The forms of an attempt's secrets, longest first, so that no part of one is left. */
export type Secrets = readonly string[]
export const NO_SECRETS: Secrets = []

const known = new WeakMap<JsonObject, Secrets>()

export function secretsOf(credential: JsonObject): Secrets {
  let secrets = known.get(credential)
  if (secrets === undefined) {
    const forms = new Set<string>()
    for (const text of textsIn(credential)) {
      if (text.length >= MIN_SECRET_LENGTH) for (const form of formsOf(text)) forms.add(form)
    }
    secrets = [...forms].sort((a, b) => b.length - a.length)
    known.set(credential, secrets)
  }
  return secrets
}

export const joinSecrets = (some: Secrets, more: Secrets): Secrets =>
  some.length === 0 ? more : [...new Set([...some, ...more])].sort((a, b) => b.length - a.length)

function* textsIn(value: Json): Generator<string> {
  if (typeof value === 'string') yield value
  else if (typeof value === 'number') yield String(value)
  else if (typeof value === 'object' && value !== null)
    for (const item of Object.values(value)) yield* textsIn(item)
}

function formsOf(text: string): string[] {
  const encoded = encodeURIComponent(text.toWellFormed())
  const forms = [
    text,
    encoded,
    encoded.replaceAll('%20', '+'),
    encoded.replaceAll(/%[0-9A-F]{2}/g, (hex) => hex.toLowerCase()),
    encodeURI(text.toWellFormed()),
  ]
  const escaped = JSON.stringify(text).slice(1, -1)
  // JSON that stands as text inside of JSON is escaped twice.
  forms.push(
    escaped,
    JSON.stringify(escaped).slice(1, -1),
    new URLSearchParams({ v: text }).toString().slice(2),
  )
  const bytes = Buffer.from(text)
  for (let shift = 0; shift < 3; shift++) {
    // What follows in the same base64 text depends on its position; the characters made of this value alone do not.
    const base64 = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64')
    const first = Math.ceil((shift * 8) / 6)
    const last = Math.floor(((shift + bytes.length) * 8) / 6)
    const own = base64.slice(first, last)
    forms.push(own, own.replaceAll('+', '-').replaceAll('/', '_'))
  }
  return forms.filter((form) => form.length >= MIN_SECRET_LENGTH)
}

/** Known values out of a text that is data. */
export function redactKnown(text: string, secrets: Secrets): string {
  let result = text
  for (const secret of secrets) if (result.includes(secret)) result = result.replaceAll(secret, REDACTED)
  return result
}

/** Known values out of bytes, whatever they mean: each byte is taken for one character, so that all others stay. */
export function redactBytes(bytes: Uint8Array, secrets: Secrets): Uint8Array {
  if (secrets.length === 0) return bytes
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const result = redactKnown(
    text,
    secrets.map((secret) => Buffer.from(secret).toString('latin1')),
  )
  return result === text ? bytes : Buffer.from(result, 'latin1')
}

/**
 * The beginning of a value that a preview has cut off: at the end of the text, or before an ellipsis. Whoever makes a
 * preview does not know the secrets, and the rest of the value is not there to be recognised.
 */
function redactCut(text: string, secrets: Secrets): string {
  let result = text
  for (const secret of secrets) {
    const start = secret.slice(0, MIN_SECRET_LENGTH)
    for (let at = result.indexOf(start); at >= 0; at = result.indexOf(start, at + 1)) {
      let length = start.length
      while (length < secret.length && result[at + length] === secret[length]) length++
      const next = result[at + length]
      if (next === undefined || next === '…')
        result = `${result.slice(0, at)}${REDACTED}${result.slice(at + length)}`
    }
  }
  return result
}

const PATTERNS: readonly RegExp[] = [
  /(?<=\b(?:bearer|basic) )[\w.~+/=-]{8,}/gi,
  /\b(?:sk|pk|rk)[-_][\w-]{16,}/g,
  /\bxox[a-z]-[\w-]{8,}/g,
  /\bgh[opusr]_\w{20,}/g,
  /\bgithub_pat_\w{20,}/g,
  /\bAKIA[0-9A-Z]{16}\b/g,
  /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+/g,
  /(?<=hooks\.slack\.com\/services\/)[\w/-]+/g,
  /(?<=\/\/)[^/\s:@]{1,100}:[^/\s@]{1,100}(?=@)/g,
]

/** Known values and everything that looks like a token, out of a text for people. */
export function redactText(text: string, secrets: Secrets): string {
  let result = redactCut(redactKnown(text, secrets), secrets)
  for (const pattern of PATTERNS) result = result.replace(pattern, REDACTED)
  return result
}

/** A copy of the value with `redact` applied to each of its texts, keys included. */
export function redactValue(value: Json, redact: (text: string) => string): Json {
  if (typeof value === 'string') return redact(value)
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => redactValue(item, redact))
  const result: JsonObject = {}
  for (const [key, item] of Object.entries(value)) {
    // `defineProperty`, since a plain assignment to `__proto__` would change the prototype.
    Object.defineProperty(result, redact(key), {
      value: redactValue(item, redact),
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return result
}
