/** `docs/nodes.md`: the node types with their configs and outputs. */
import { CONTROL_NODE_TYPES, isObject, type Json, type JsonObject, type NodeTypeInfo } from '@weft/engine'
import { systemClock } from '../../server/src/clock.ts'
import { builtInNodes } from '../../server/src/nodes/built-in.ts'
import { block, code, page, table } from './markdown.ts'

export async function nodesPage(): Promise<string> {
  const nodes = builtInNodes({ clock: systemClock(), codeThreads: 1 })
  try {
    return page(
      'Node types',
      'What the `with` of a node holds, by type. Any field may hold an expression (`${{ … }}`) instead of a value, unless it says otherwise. What all nodes share (`needs`, `when`, `retry`, `timeout`, `forEach`, `repeat`, `onError`, `join`) is in the JSON Schema that `GET /api/v1/schemas/workflow` answers; `GET /api/v1/node-types` answers what stands here, with types of your own.',
      '## Tasks',
      'Performed by workers.',
      ...nodes.types.flatMap(({ info }) => described(info)),
      '## Control',
      'Performed by the engine itself, without a worker.',
      ...CONTROL_NODE_TYPES.flatMap(described),
    )
  } finally {
    await nodes.close()
  }
}

/** What the credential of a type may look like; the types check it themselves when they are performed. */
const CREDENTIALS: Readonly<Record<string, string>> = {
  http: '`{"token":"…"}` for Bearer, `{"username":"…","password":"…"}` for Basic, `{"header":"X-Api-Key","value":"…"}`, or `{"headers":{"…":"…"}}`. None is needed.',
  'slack.post_message':
    '`{"webhookUrl":"https://hooks.slack.com/services/…"}` for an incoming webhook, or `{"token":"xoxb-…"}` for `chat.postMessage`.',
}

function described(info: NodeTypeInfo): string[] {
  const fields = isObject(info.config.properties) ? Object.entries(info.config.properties) : []
  const required = Array.isArray(info.config.required) ? info.config.required : []
  return [
    `### ${info.type}`,
    info.description,
    ...facts(info),
    ...(fields.length === 0
      ? []
      : [
          table(
            ['field', 'type', ''],
            fields.map(([name, schema]) => [
              `${code(name)}${required.includes(name) ? ' (required)' : ''}`,
              typeOf(schema),
              aboutField(info, name, schema),
            ]),
          ),
        ]),
    ...(CREDENTIALS[info.type] ? [`Credential: ${CREDENTIALS[info.type]}`] : []),
    ...(info.output ? [`Output: ${typeOf(info.output)}`] : []),
    ...(info.output && isObject(info.output.properties)
      ? [block('json', JSON.stringify(outline(info.output), null, 2))]
      : []),
  ]
}

function facts(info: NodeTypeInfo): string[] {
  const { attempts } = info.retry
  const sentences = [
    ...(info.kind === 'task' ? [`Effect: ${code(info.effect)}.`] : []),
    ...(info.labels.length > 0
      ? [
          `Labels: ${info.labels.map((label) => (info.success.includes(label) ? `${code(label)} (success)` : code(label))).join(', ')}.`,
        ]
      : []),
    ...(info.kind === 'task'
      ? [
          `At most ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'} unless \`retry\` says otherwise, each within ${info.timeoutMs === null ? 'no limit' : `${info.timeoutMs / 1000} s`}.`,
        ]
      : []),
  ]
  return sentences.length === 0 ? [] : [sentences.join(' ')]
}

const MODES = {
  raw: 'Taken as written: no expressions.',
  url: '',
  expression: 'An expression, without `${{ }}`.',
}

function aboutField(info: NodeTypeInfo, name: string, schema: Json): string {
  const pointer = `/${name}`
  const mode = Object.entries(info.fields).find(([at]) => at === pointer || at.startsWith(`${pointer}/`))?.[1]
  const description = isObject(schema) && typeof schema.description === 'string' ? schema.description : ''
  const fallback =
    isObject(schema) && schema.default !== undefined ? `Default ${code(JSON.stringify(schema.default))}.` : ''
  return [description, fallback, mode ? MODES[mode] : ''].filter(Boolean).join(' ')
}

function typeOf(schema: Json): string {
  if (!isObject(schema)) return 'anything'
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => code(JSON.stringify(value))).join(', ')
  if (schema.const !== undefined) return code(JSON.stringify(schema.const))
  const options = schema.anyOf ?? schema.oneOf
  if (Array.isArray(options) && schema.type === undefined)
    return [...new Set(options.map(typeOf))].join(' or ')
  const names = Array.isArray(schema.type) ? schema.type : schema.type === undefined ? [] : [schema.type]
  if (names.length === 0) return 'anything'
  return names
    .map((name) =>
      name === 'array' && isObject(schema.items)
        ? `list of ${typeOf(schema.items)}`
        : (TYPE_NAMES[String(name)] ?? String(name)),
    )
    .join(' or ')
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  object: 'map',
  array: 'list',
  integer: 'whole number',
  null: 'null',
}

/** The output by example of its types. */
function outline(schema: JsonObject): JsonObject {
  const properties = isObject(schema.properties) ? schema.properties : {}
  return Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, typeOf(value).replaceAll(/[`"]/g, '')]),
  )
}
