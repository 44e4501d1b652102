/**
 * `/docs`: the OpenAPI document as a page for people. One file of HTML and CSS without scripts and without anything from
 * elsewhere, so it reads the same without a network, and its content security policy can forbid everything else.
 */
import type { Json, JsonObject } from '@weft/engine'

const STYLE = `
:root{color-scheme:light dark;--line:#8884;--quiet:#777;--mark:#7771}
body{font:16px/1.5 system-ui,sans-serif;margin:0;display:grid;grid-template-columns:17rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;box-sizing:border-box;padding:1.5rem 1rem;border-right:1px solid var(--line);font-size:.85rem}
nav a{display:block;color:inherit;text-decoration:none;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;padding:.1rem 0}
nav a:hover{text-decoration:underline}
main{padding:1.5rem 2.5rem;max-width:56rem;box-sizing:border-box}
h2{margin-top:3rem;border-bottom:1px solid var(--line)}
nav h2{margin:1rem 0 .2rem;font-size:1em;border:0}
article{padding:.5rem 0 1rem;border-bottom:1px solid var(--line)}
code,pre,h3{font-family:ui-monospace,monospace}
h3{font-size:1rem;margin:.8rem 0 .2rem;overflow-wrap:anywhere}
code{background:var(--mark);padding:.05em .3em;border-radius:.25em;font-size:.9em;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-top:1px solid var(--line)}
pre{background:var(--mark);padding:.75rem;overflow:auto;font-size:.8rem;max-height:24rem}
summary{cursor:pointer;color:var(--quiet);font-size:.9rem;margin-top:.4rem}
.quiet{color:var(--quiet)}
@media(max-width:50rem){body{display:block}nav{display:none}main{padding:1rem}}
`

export const REFERENCE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
}

interface Operation {
  readonly method: string
  readonly path: string
  readonly id: string
  readonly tag: string
  readonly description: JsonObject
}

export function referencePage(document: JsonObject): string {
  const info = document.info as JsonObject
  const { schemas, responses } = document.components as { schemas: JsonObject; responses: JsonObject }
  const groups = Map.groupBy(operationsOf(document), ({ tag }) => tag)
  const links = [...groups].map(([tag, list]) => `<h2>${escaped(tag)}</h2>${list.map(link).join('')}`)
  const sections = [...groups].map(
    ([tag, list]) => `<h2>${escaped(tag)}</h2>${list.map((item) => article(item, responses)).join('')}`,
  )
  const shapes = Object.entries(schemas).map(
    ([name, schema]) =>
      `<article id="schema-${escaped(name)}"><h3>${escaped(name)}</h3>${jsonBlock(schema as Json)}</article>`,
  )
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Weft API</title><style>${STYLE}</style></head>
<body><nav><a href="/openapi.json">openapi.json</a>${links.join('')}<h2>shapes</h2><a href="#shapes">all shapes</a></nav>
<main><h1>Weft API <span class="quiet">${escaped(String(info.version))}</span></h1>
<p>${prose(String(info.description))}</p>
<p>Send <code>Authorization: Bearer &lt;key&gt;</code>. Each call names the role that it needs: viewer &lt; operator &lt; editor &lt; admin.</p>
${sections.join('\n')}
<h2 id="shapes">Shapes</h2>${shapes.join('')}
</main></body></html>
`
}

function operationsOf(document: JsonObject): Operation[] {
  return Object.entries(document.paths as JsonObject).flatMap(([path, methods]) =>
    Object.entries(methods as JsonObject).map(([method, operation]) => {
      const description = operation as JsonObject
      const [tag] = description.tags as string[]
      return {
        method: method.toUpperCase(),
        path,
        id: description.operationId as string,
        tag: tag as string,
        description,
      }
    }),
  )
}

const link = ({ id, method, path }: Operation): string =>
  `<a href="#${id}">${method} ${escaped(path.replace(/^\/api\/v1/, ''))}</a>`

function article({ method, path, id, description }: Operation, responses: JsonObject): string {
  const role = description['x-weft-role']
  const body = description.requestBody as JsonObject | undefined
  return `<article id="${id}"><h3>${method} ${escaped(path)}</h3>
<p>${prose(String(description.summary))}. ${description.description === undefined ? '' : prose(String(description.description))} <span class="quiet">${role === undefined ? 'No key needed.' : `Role ${role}.`}</span></p>
${parameterTable(description.parameters as JsonObject[])}
${body ? `<p>Body${body.required ? '' : ' (may be left out)'}: ${contents(body)}${body.description ? `. ${prose(String(body.description))}` : ''}</p>` : ''}
${answerTable(description.responses as JsonObject, responses)}</article>`
}

function parameterTable(parameters: readonly JsonObject[]): string {
  if (parameters.length === 0) return ''
  const rows = parameters.map(({ name, in: place, required, description, schema }) => {
    const { default: preset } = schema as JsonObject
    const text = [
      description === undefined ? '' : prose(String(description)),
      preset === undefined ? '' : `<span class="quiet">default ${escaped(JSON.stringify(preset))}</span>`,
    ]
    return `<tr><td><code>${escaped(String(name))}</code></td><td class="quiet">${place}${required ? '' : ', optional'}</td><td>${text.join(' ')}</td></tr>`
  })
  return `<table>${rows.join('')}</table>`
}

function answerTable(answers: JsonObject, responses: JsonObject): string {
  const good: string[] = []
  const refused: string[] = []
  for (const [status, answer] of Object.entries(answers)) {
    const { $ref } = answer as { $ref?: string }
    const shown = $ref === undefined ? (answer as JsonObject) : (responses[nameOf($ref)] as JsonObject)
    const row = `<tr><td><code>${status}</code></td><td>${prose(String(shown.description))}</td><td>${contents(shown)}</td></tr>`
    if ($ref === undefined) good.push(row)
    else refused.push(row)
  }
  return `<table>${good.join('')}</table><details><summary>refusals</summary><table>${refused.join('')}</table></details>`
}

function contents(holder: JsonObject): string {
  const entries = Object.entries((holder.content ?? {}) as Record<string, { schema: JsonObject }>)
  return entries.map(([type, { schema }]) => shapeName(type, schema)).join(' or ')
}

function shapeName(type: string, { $ref }: JsonObject): string {
  if (typeof $ref !== 'string') return `<code>${escaped(type)}</code>`
  const name = escaped(nameOf($ref))
  return `<a href="#schema-${name}">${name}</a>`
}

const nameOf = ($ref: string): string => $ref.slice($ref.lastIndexOf('/') + 1)

const jsonBlock = (value: Json): string => `<pre>${escaped(JSON.stringify(value, null, 2))}</pre>`

/** Plain text with code between backticks. */
const prose = (text: string): string => escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
const escaped = (text: string): string => text.replaceAll(/[&<>"]/g, (sign) => ENTITIES[sign] as string)
