/** The API about itself: its OpenAPI document, and the same as a page. Both are made at the first request for them. */
import type { JsonObject } from '@weft/engine'
import type { Handlers } from '../call.ts'
import { openApiDocument } from '../openapi.ts'
import type { HandlerParts } from '../parts.ts'
import { REFERENCE_HEADERS, referencePage } from '../reference-page.ts'

export function documentHandlers({ settings }: HandlerParts): Handlers<'openApi' | 'reference'> {
  let document: JsonObject | null = null
  let page: string | null = null
  const read = (): JsonObject => {
    document ??= openApiDocument(settings.version)
    return document
  }
  return {
    openApi: () => ({ status: 200, body: read() }),
    reference() {
      page ??= referencePage(read())
      return { status: 200, body: page, headers: REFERENCE_HEADERS }
    },
  }
}
