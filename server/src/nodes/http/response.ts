/** From the answer of a service to the output of an `http` step, or to the error that says why there is none. */
import type { Json } from '@weft/engine'
import type { EgressResponse } from '../../egress/egress.ts'
import { type NodeError, nodeError } from '../errors.ts'
import type { NodeBlobs } from '../node-type.ts'
import { retryAfterMs } from '../retry-after.ts'

const PREVIEW_CHARACTERS = 500
/** Beside every 5xx: the service asks to be called again. */
const RETRYABLE = new Set([408, 425, 429])

export interface HttpOutput {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: Json
  readonly url: string
}

/** JSON when the content type says so, else text, else a blob; `null` when there is nothing. */
export async function outputOf(response: EgressResponse, blobs: NodeBlobs): Promise<HttpOutput> {
  const { status, headers, url, body } = response
  return { status, headers, body: await bodyOf(body, headers['content-type'] ?? '', response, blobs), url }
}

async function bodyOf(
  bytes: Uint8Array,
  contentType: string,
  response: EgressResponse,
  blobs: NodeBlobs,
): Promise<Json> {
  if (bytes.length === 0) return null
  const media = contentType.split(';', 1)[0]!.trim().toLowerCase()
  if (isJson(media)) return parseJson(bytes, contentType, response)
  const text = isText(media)
    ? decode(bytes, charsetOf(contentType))
    : media === ''
      ? strictText(bytes)
      : undefined
  if (text !== undefined) return text
  return { ...(await blobs.put(bytes, media === '' ? 'application/octet-stream' : contentType)) }
}

const isJson = (media: string): boolean =>
  media === 'application/json' || media === 'text/json' || media.endsWith('+json')

const isText = (media: string): boolean =>
  media.startsWith('text/') ||
  media.endsWith('+xml') ||
  /^application\/(xml|javascript|ecmascript|x-www-form-urlencoded|yaml|x-yaml|x-ndjson|jsonl|graphql|toml|sql)$/.test(
    media,
  )

function parseJson(bytes: Uint8Array, contentType: string, { status, url }: EgressResponse): Json {
  const text = decode(bytes, 'utf-8')
  try {
    return JSON.parse(text) as Json
  } catch (error) {
    const looksLikeHtml = /^\s*</.test(text)
    throw nodeError(
      'http_invalid_json',
      `${shown(url)} answered ${status} and calls its body \`${contentType}\`, but it is ${looksLikeHtml ? 'HTML' : 'not JSON'}: ${quoted(text)}. Look whether the URL is the API's own, not a sign-in or error page.`,
      { details: { status, url, contentType, preview: text.slice(0, PREVIEW_CHARACTERS) }, cause: error },
    )
  }
}

const charsetOf = (contentType: string): string => /charset="?([^\s;"]+)/i.exec(contentType)?.[1] ?? 'utf-8'

function decode(bytes: Uint8Array, charset: string): string {
  try {
    return new TextDecoder(charset).decode(bytes)
  } catch {
    // A charset that nobody knows: most text is UTF-8 anyway.
    return new TextDecoder().decode(bytes)
  }
}

function strictText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

export const isExpected = (status: number, expect: number | readonly number[] | undefined): boolean =>
  expect === undefined
    ? status < 400
    : typeof expect === 'number'
      ? status === expect
      : expect.includes(status)

export function statusError(
  method: string,
  { status, headers, url, body }: EgressResponse,
  expect: number | readonly number[] | undefined,
  now: number,
): NodeError {
  const retryable = status >= 500 || RETRYABLE.has(status)
  const pause = retryable ? retryAfterMs(headers, now) : undefined
  const text = decode(body.subarray(0, 4 * PREVIEW_CHARACTERS), 'utf-8')
  const wanted =
    expect === undefined
      ? ''
      : `, which is not among those that the step expects (${[expect].flat().join(', ')})`
  return nodeError(
    'http_status',
    `${method} ${shown(url)} answered ${status}${wanted}${text === '' ? ', without a body' : `: ${quoted(text)}`}.${adviceFor(status)}`,
    {
      retryable,
      ...(pause !== undefined && { retryAfterMs: pause }),
      details: { status, url, headers, preview: text.slice(0, PREVIEW_CHARACTERS) },
    },
  )
}

function adviceFor(status: number): string {
  switch (status) {
    case 401:
    case 403:
      return " Check the step's `credential`."
    case 404:
      return ' If that is an answer you want, say `expect: [200, 404]`.'
    case 405:
      return " Check the step's `method`."
    default:
      return ''
  }
}

/** Without the query, where tokens travel. */
const shown = (url: string): string => url.split(/[?#]/, 1)[0]!

function quoted(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length > 200 ? `“${line.slice(0, 200)}…”` : `“${line}”`
}
