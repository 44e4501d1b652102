/** `weft credentials …`: secrets that steps use by name. Values go in and are never shown (R14). */
import { isObject, type JsonObject } from '@weft/engine'
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { deleteCommand } from './delete.ts'
import { CliError, EXIT } from './exit.ts'
import { durationText, type Piece, plain } from './paint.ts'
import type { Credential, Page } from './shapes.ts'
import { readText } from './values.ts'

const pathOf = (name: string): string => `/api/v1/credentials/${encodeURIComponent(name)}`

export function credentialsCommand(context: CliContext): Command {
  const credentials = new Command('credentials')
    .summary('create, rotate, list and delete credentials')
    .description(
      'Creates, rotates, lists and deletes credentials, which steps use by name. Values are encrypted, and never shown again.',
    )
  credentials
    .command('list')
    .description('Lists credentials, without their values.')
    .addHelpText('after', '\nExamples:\n  weft credentials list --json')
    .action(action(context, list))
  credentials.addCommand(
    writeCommand(context, 'create', 'Stores a credential. One that exists is not replaced: rotate it.'),
  )
  credentials.addCommand(
    writeCommand(
      context,
      'rotate',
      'Gives a credential a new value. Attempts that begin from now on use it.',
    ),
  )
  credentials.addCommand(
    deleteCommand(context, {
      argument: 'name',
      description: 'Deletes a credential. Steps that name it fail until there is one again.',
      example: 'weft credentials delete shop_api',
      pathOf,
    }),
  )
  return credentials
}

const writeCommand = (context: CliContext, verb: 'create' | 'rotate', description: string): Command =>
  new Command(verb)
    .description(description)
    .argument('<name>', 'its name')
    .argument('[json]', 'its value; from stdin with -, which keeps it out of the shell’s history')
    .option('-f, --file <file>', 'a file with its value')
    .addHelpText(
      'after',
      `\nExamples:\n  weft credentials ${verb} shop_api -f shop.json\n  echo '{"token":"…"}' | weft credentials ${verb} shop_api -`,
    )
    .action(
      action(
        context,
        async (session, name: string, json: string | undefined, { file }: { file?: string }) => {
          const value = await readValue(session, json, file)
          const client = await session.client()
          const credential =
            verb === 'create'
              ? await client.call<Credential>('POST', '/api/v1/credentials', { body: { name, value } })
              : await client.call<Credential>('PUT', pathOf(name), { body: { value } })
          if (session.isJson) session.json(credential)
          else session.line(`${verb}d  ${plain(credential.name)}`)
          return 0
        },
      ),
    )

/** Says what is wrong without showing any of it: a terminal's output is kept and passed on. */
async function readValue(
  session: Session,
  json: string | undefined,
  file: string | undefined,
): Promise<JsonObject> {
  if ((json === undefined) === (file === undefined)) {
    throw new CliError(
      EXIT.invalid,
      `${json === undefined ? 'The value is missing' : 'The value is there twice'}: write it as JSON, or name a file with -f, or - for stdin.`,
    )
  }
  const { terminal } = session.context
  const text = json !== undefined && json !== '-' ? json : await readText(file ?? '-', terminal)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  if (isObject(value)) return value
  throw new CliError(
    EXIT.invalid,
    `The value must be a JSON object such as {"token": "…"}; what was given is ${value === undefined ? 'not JSON' : 'JSON of another kind'}. In a shell, write it in single quotes.`,
  )
}

async function list(session: Session): Promise<number> {
  const { items } = await (await session.client()).call<Page<Credential>>('GET', '/api/v1/credentials')
  return session.list(
    items,
    row,
    'No credential is stored yet. Store one: weft credentials create <name> -f <file>.',
  )
}

const row = ({ name, source, rotatedAt, keyId, readable }: Credential, now: number): Piece[] => [
  { text: plain(name) },
  { text: source === 'store' ? 'stored' : 'environment', colour: 'cyan' },
  { text: rotatedAt === null ? '' : `${durationText(now - rotatedAt)} ago`, colour: 'dim' },
  readable ? { text: '' } : { text: `unreadable: the master key ${keyId} is missing`, colour: 'red' },
]
