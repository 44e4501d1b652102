/**
 * Functions that turn values into text and back: JSON, base64, SHA-256, percent-encoding. Pure JavaScript, so that the
 * engine runs in a browser too.
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { type Json, MAX_JSON_DEPTH } from '../../json.ts'
import type { Machine } from '../machine.ts'
import { raise, type Site } from '../problem.ts'
import { jsonText, put } from '../value.ts'
import { type FunctionDefinition, refuse, textArgument } from './definition.ts'

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

function base64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 3) {
    const [first, second, third] = [bytes[at] as number, bytes[at + 1], bytes[at + 2]]
    text += BASE64[first >> 2] as string
    text += BASE64[((first & 3) << 4) | ((second ?? 0) >> 4)] as string
    text += second === undefined ? '=' : (BASE64[((second & 15) << 2) | ((third ?? 0) >> 6)] as string)
    text += third === undefined ? '=' : (BASE64[third & 63] as string)
  }
  return text
}

/** Everything but letters, digits and `-._~` percent-encoded; a lone surrogate becomes U+FFFD, as in any URL. */
export const percentEncode = (text: string): string =>
  encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )

function parseJson(machine: Machine, site: Site, text: string): Json {
  machine.spendText(text.length * 8, site)
  let parsed: Json
  try {
    parsed = JSON.parse(text) as Json
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return raise(site, `\`json\` cannot read the text as JSON: ${reason}.`, [text])
  }
  return bounded(site, parsed, 0)
}

/** What a JSON text can say and a JSON value here cannot be: numbers beyond a double become `null` (R1), in place. */
function bounded(site: Site, value: Json, depth: number): Json {
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : null
  if (typeof value !== 'object' || value === null) return value
  if (depth >= MAX_JSON_DEPTH) {
    raise(site, `\`json\` cannot use JSON that is nested deeper than ${MAX_JSON_DEPTH} levels.`, [value])
  }
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) value[index] = bounded(site, item, depth + 1)
  } else {
    for (const key of Object.keys(value)) put(value, key, bounded(site, value[key] as Json, depth + 1))
  }
  return value
}

/** Text as it stands; numbers and booleans as they print. A list or map has to say how it becomes text. */
function scalarText(site: Site, name: string, values: readonly Json[]): string {
  const value = values[0] as Json
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return typeof value === 'string'
    ? value
    : refuse(site, name, values, 0, 'text (write `toJson(x)` for a list or map)')
}

export const ENCODING_FUNCTIONS: readonly FunctionDefinition[] = [
  {
    name: 'json',
    kind: 'function',
    signature: 'text.json()',
    description: 'The value that a JSON text holds.',
    example: `json('{"a": [1, 2]}').a[1]`,
    result: 2,
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => parseJson(machine, site, textArgument(site, 'json', values, 0)),
  },
  {
    name: 'toJson',
    kind: 'function',
    signature: 'value.toJson()',
    description: 'The value as JSON text, without white space.',
    example: 'toJson({"a": [1, null]})',
    result: '{"a":[1,null]}',
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => jsonText(machine, site, values[0] as Json),
  },
  {
    name: 'base64',
    kind: 'function',
    signature: 'text.base64()',
    description: 'The UTF-8 bytes of a text in base64.',
    example: 'base64("héllo")',
    result: 'aMOpbGxv',
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      const text = scalarText(site, 'base64', values)
      machine.spendText(text.length * 4, site)
      const bytes = utf8ToBytes(text)
      machine.allow(Math.ceil(bytes.length / 3) * 4, site)
      return base64(bytes)
    },
  },
  {
    name: 'sha256',
    kind: 'function',
    signature: 'text.sha256()',
    description: 'The SHA-256 digest of the UTF-8 bytes of a text, in hexadecimal.',
    example: 'sha256("abc").substring(0, 8)',
    result: 'ba7816bf',
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      const text = scalarText(site, 'sha256', values)
      machine.spend(1, site)
      machine.spendText(text.length * 4, site)
      return bytesToHex(sha256(utf8ToBytes(text)))
    },
  },
  {
    name: 'urlEncode',
    kind: 'function',
    signature: 'text.urlEncode()',
    description: 'The text percent-encoded for one segment or one query value of a URL.',
    example: 'urlEncode("a/b & c")',
    result: 'a%2Fb%20%26%20c',
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      const text = scalarText(site, 'urlEncode', values)
      machine.spendText(text.length * 4, site)
      const encoded = percentEncode(text)
      machine.allow(encoded.length, site)
      return encoded
    },
  },
]
