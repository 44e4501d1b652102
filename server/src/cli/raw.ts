/** `weft api`: one call of the HTTP API as it is, with the key and the server that the CLI found. */
import { Command } from 'commander'
import { problemError } from './client.ts'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import { readText } from './values.ts'

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD']

export const apiCommand = (context: CliContext): Command =>
  new Command('api')
    .summary('call the HTTP API directly')
    .description('Calls the HTTP API with the key and the server that the CLI finds, and prints the answer.')
    .argument('<method>', METHODS.join(', '))
    .argument('<path>', 'below /api/v1, or a whole path')
    .option('-d, --data <body>', 'the body, from a file (@body.json), or from stdin (-)')
    .option('-t, --content-type <type>', 'type of the body', 'application/json')
    .addHelpText(
      'after',
      '\nExamples:\n  weft api GET /node-types\n  weft api POST /runs -d \'{"workflow": "hello"}\'\n  weft api POST /workflows -d @hello.yaml -t application/yaml\n  weft api GET /metrics',
    )
    .action(action(context, call))

async function call(
  session: Session,
  method: string,
  path: string,
  options: { data?: string; contentType: string },
): Promise<number> {
  const verb = method.toUpperCase()
  if (!METHODS.includes(verb))
    throw new CliError(
      EXIT.invalid,
      `\`${method}\` is no method; write one of ${METHODS.join(', ')} before the path.`,
    )
  const { data } = options
  const text =
    data === undefined
      ? undefined
      : data === '-' || data.startsWith('@')
        ? await readText(data === '-' ? '-' : data.slice(1), session.context.terminal)
        : data
  const client = await session.client()
  const answer = await client.send(
    verb,
    wholePath(path),
    text === undefined ? {} : { text, contentType: options.contentType },
  )
  if (answer.text !== '') session.line(pretty(answer.text, answer.contentType))
  return answer.status >= 400 ? problemError(answer.status, answer.text).exitCode : 0
}

function wholePath(path: string): string {
  const absolute = path.startsWith('/') ? path : `/${path}`
  return /^\/(api\/|healthz$|readyz$|metrics$)/.test(absolute) ? absolute : `/api/v1${absolute}`
}

function pretty(text: string, contentType: string): string {
  if (!contentType.includes('json')) return text.trimEnd()
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text.trimEnd()
  }
}
