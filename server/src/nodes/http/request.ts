/** From the config of an `http` step to the request that leaves. */
import { nodeError } from '../errors.ts'
import { attemptHeaders } from '../identity.ts'
import type { NodeContext } from '../node-type.ts'
import type { HttpConfig } from './config.ts'

export interface OutgoingRequest {
  readonly method: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly body?: string
}

export function requestOf(
  config: HttpConfig,
  credential: Readonly<Record<string, string>> | null,
  context: NodeContext,
): OutgoingRequest {
  const { method } = config
  const headers: Record<string, string> = { accept: 'application/json, */*;q=0.8', 'user-agent': 'weft' }
  const body = bodyOf(config, headers)
  if (method !== 'GET' && method !== 'HEAD') headers['idempotency-key'] = context.idempotencyKey
  for (const [name, value] of Object.entries(config.headers ?? {}))
    headers[name.toLowerCase()] = String(value)
  if (credential !== null) Object.assign(headers, credentialHeaders(credential))
  Object.assign(headers, attemptHeaders(context))
  return { method, url: urlOf(config), headers, ...(body !== undefined && { body }) }
}

function bodyOf({ json, form, body }: HttpConfig, headers: Record<string, string>): string | undefined {
  if (json !== undefined) {
    headers['content-type'] = 'application/json'
    return JSON.stringify(json)
  }
  if (form !== undefined) {
    headers['content-type'] = 'application/x-www-form-urlencoded'
    return pairsOf(form).toString()
  }
  if (body !== undefined) headers['content-type'] = 'text/plain; charset=utf-8'
  return body
}

function urlOf({ url, query }: HttpConfig): string {
  if (query === undefined) return url
  const pairs = pairsOf(query).toString()
  if (pairs === '') return url
  const [address, fragment] = split(url, '#')
  const glue = !address.includes('?') ? '?' : address.endsWith('?') || address.endsWith('&') ? '' : '&'
  return `${address}${glue}${pairs}${fragment === undefined ? '' : `#${fragment}`}`
}

const split = (text: string, at: string): [string, string | undefined] => {
  const index = text.indexOf(at)
  return index < 0 ? [text, undefined] : [text.slice(0, index), text.slice(index + 1)]
}

/** A list becomes the same name several times; `null` leaves the name out. */
function pairsOf(values: NonNullable<HttpConfig['query']>): URLSearchParams {
  const pairs = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) {
    for (const item of Array.isArray(value) ? value : [value])
      if (item !== null) pairs.append(name, String(item))
  }
  return pairs
}

const NEEDS =
  'An http credential is {"token":"…"} for Bearer, {"username":"…","password":"…"} for Basic, {"header":"X-Api-Key","value":"…"} or {"headers":{"…":"…"}}.'

function credentialHeaders(credential: Readonly<Record<string, string>>): Record<string, string> {
  const { token, username, password, header, value, headers } = credential
  if (token !== undefined) return { authorization: `Bearer ${token}` }
  if (username !== undefined && password !== undefined) {
    return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
  }
  if (header !== undefined && value !== undefined) return { [header.toLowerCase()]: value }
  if (headers !== undefined) return headersOf(headers)
  const keys = Object.keys(credential).map((key) => `\`${key}\``)
  throw nodeError(
    'credential_invalid',
    `The credential of the step has ${keys.join(', ') || 'nothing'} in it. ${NEEDS}`,
  )
}

/** A nested object of a credential arrives as JSON text. */
function headersOf(text: string): Record<string, string> {
  let headers: unknown
  try {
    headers = JSON.parse(text)
  } catch {
    headers = null
  }
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    throw nodeError('credential_invalid', `\`headers\` of the credential must be an object. ${NEEDS}`)
  }
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
  )
}
