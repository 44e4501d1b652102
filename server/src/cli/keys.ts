/** `weft keys …`: who may call the API, and as what. */
import { Command } from 'commander'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import { durationText, type Piece, plain } from './paint.ts'
import { type ApiKey, type CreatedApiKey, collect, type Page } from './shapes.ts'

const MOST = 10_000

export function keysCommand(context: CliContext): Command {
  const keys = new Command('keys')
    .summary('make, list and revoke API keys')
    .description('Makes, lists and revokes API keys. Needs a key with the role admin.')
  keys
    .command('list')
    .description('Lists the keys, the newest first. The keys themselves are never shown.')
    .addHelpText('after', '\nExamples:\n  weft keys list\n  weft keys list --json')
    .action(action(context, list))
  keys
    .command('create')
    .description('Makes a key and prints it. This is the only time that it is shown.')
    .argument('<name>', 'how the log of runs names who acted')
    .requiredOption(
      '-r, --role <role>',
      'viewer, operator, editor, admin, or worker (performs tasks, reads nothing)',
    )
    .option(
      '-t, --types <types>',
      'for the role worker: the task types that it is for, as in a,b; all unless given',
    )
    .option('-e, --expires-in <duration>', 'how long it is valid, such as 90d; for ever unless given')
    .addHelpText(
      'after',
      '\nExamples:\n  weft keys create ci --role operator --expires-in 90d\n  weft keys create dashboard --role viewer --json\n  weft keys create resizer --role worker --types image.resize,image.crop',
    )
    .action(action(context, create))
  keys
    .command('revoke')
    .description('Revokes a key: nobody can call with it any more. A key cannot revoke itself.')
    .argument('<key>', 'its name or its id')
    .addHelpText('after', '\nExamples:\n  weft keys revoke ci')
    .action(action(context, revoke))
  return keys
}

const all = async (session: Session): Promise<ApiKey[]> => {
  const client = await session.client()
  return collect(
    (cursor) => client.call<Page<ApiKey>>('GET', '/api/v1/keys', { query: { limit: 500, cursor } }),
    MOST,
  )
}

async function list(session: Session): Promise<number> {
  return session.list(await all(session), (item, now) => [
    { text: item.id },
    { text: plain(item.name) },
    { text: item.role, colour: 'cyan' },
    { text: (item.taskTypes ?? []).join(',') },
    { text: `${durationText(now - item.createdAt)} ago`, colour: 'dim' },
    expiry(item, now),
  ])
}

function expiry({ expiresAt }: ApiKey, now: number): Piece {
  if (expiresAt === null) return { text: '' }
  return expiresAt > now
    ? { text: `${durationText(expiresAt - now)} left`, colour: 'dim' }
    : { text: 'expired', colour: 'red' }
}

async function create(
  session: Session,
  name: string,
  options: { role: string; types?: string; expiresIn?: string },
): Promise<number> {
  const { role, types, expiresIn } = options
  const taskTypes = types?.split(',').map((type) => type.trim())
  const client = await session.client()
  const made = await client.call<CreatedApiKey>('POST', '/api/v1/keys', {
    body: { name, role, taskTypes, expiresIn },
  })
  if (session.isJson) {
    session.json(made)
    return 0
  }
  session.line(made.key)
  session.notice(
    `Key ${made.name} (${made.role}${made.taskTypes === null ? '' : `, for ${made.taskTypes.join(', ')}`}). Keep it now: it is not stored and will not be shown again.`,
  )
  return 0
}

async function revoke(session: Session, reference: string): Promise<number> {
  const known = await all(session)
  const fitting = known.filter(({ id, name }) => id === reference || name === reference)
  const [key, ...others] = fitting
  if (!key)
    throw new CliError(
      EXIT.invalid,
      `No key is named \`${reference}\`. \`weft keys list\` shows what there is.`,
    )
  if (others.length > 0)
    throw new CliError(
      EXIT.invalid,
      `Several keys are named \`${reference}\`: ${fitting.map(({ id }) => id).join(', ')}. Write the id.`,
    )
  await (await session.client()).call('DELETE', `/api/v1/keys/${encodeURIComponent(key.id)}`)
  if (session.isJson) session.json({ id: key.id, name: key.name, revoked: true })
  else session.line(`revoked  ${plain(key.name)}`)
  if (key.name === 'first') {
    session.notice(
      'The server registers the key of WEFT_API_KEY, or of the file api-key in its data directory, at every start: change it there, too.',
    )
  }
  return 0
}
