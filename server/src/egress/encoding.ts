/**
 * Content-Encoding, undone within bounds: a body of a few kilobytes may unfold to gigabytes, so the limit of a response
 * holds for what comes out as well as for what came in.
 */
import type { Transform } from 'node:stream'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { EgressError } from './error.ts'

export const ACCEPTED_ENCODINGS = 'gzip, deflate, br'

interface Decoder {
  whole(data: Uint8Array, options: { maxOutputLength: number }): Promise<Buffer>
  stream(): Transform
}

const gunzip: Decoder = { whole: promisify(zlib.gunzip), stream: () => zlib.createGunzip() }
const inflate: Decoder = { whole: promisify(zlib.inflate), stream: () => zlib.createInflate() }
const inflateRaw: Decoder = { whole: promisify(zlib.inflateRaw), stream: () => zlib.createInflateRaw() }
const brotli: Decoder = {
  whole: promisify(zlib.brotliDecompress),
  stream: () => zlib.createBrotliDecompress(),
}

const DECODERS: Record<string, Decoder> = { gzip: gunzip, 'x-gzip': gunzip, deflate: inflate, br: brotli }

/** Encodings stack; a server that stacks more than this is playing. */
const MAX_LAYERS = 3

/** The decoders in the order in which they undo the header, or undefined when there is nothing we can undo. */
function decodersFor(contentEncoding: string | undefined): Decoder[] | undefined {
  if (contentEncoding === undefined || contentEncoding === '') return undefined
  const names = contentEncoding
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
  const layers = names.filter((name) => name !== 'identity')
  if (layers.length > MAX_LAYERS) throw undecodable(`it is encoded ${layers.length} times`)
  const decoders = layers.map((name) => DECODERS[name]).reverse()
  return decoders.every((decoder) => decoder !== undefined) ? decoders : undefined
}

/** The decoded body, or undefined when the body stands as it came (its Content-Encoding header then stays, too). */
export async function decodeBody(
  body: Uint8Array,
  contentEncoding: string | undefined,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const decoders = decodersFor(contentEncoding)
  if (decoders === undefined) return undefined
  let decoded = body
  for (const decoder of decoders) {
    if (decoded.length === 0) return decoded
    try {
      decoded = await (decoder === inflate && !hasZlibHeader(decoded) ? inflateRaw : decoder).whole(decoded, {
        maxOutputLength: maxBytes,
      })
    } catch (cause) {
      throw (cause as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE'
        ? tooLarge(maxBytes, ' once decompressed')
        : undecodable((cause as Error).message)
    }
  }
  return decoded
}

/** The streams that decode a body, for callers that read it as it comes; undefined as above. */
export const decodingStreams = (contentEncoding: string | undefined): Transform[] | undefined =>
  decodersFor(contentEncoding)?.map((decoder) => decoder.stream())

/** `deflate` means zlib's format (RFC 9110), yet some servers send the bare stream. */
const hasZlibHeader = (data: Uint8Array): boolean =>
  (data[0]! & 0x0f) === 8 && ((data[0]! << 8) | (data[1] ?? 0)) % 31 === 0

export const tooLarge = (maxBytes: number, when = ''): EgressError =>
  new EgressError(
    'response_too_large',
    `The response is larger${when} than the ${maxBytes} bytes it may have. Ask for less: a page, a filter, fewer fields.`,
  )

const undecodable = (reason: string): EgressError =>
  new EgressError(
    'response_undecodable',
    `The body does not decode by its own Content-Encoding header: ${reason}.`,
  )
