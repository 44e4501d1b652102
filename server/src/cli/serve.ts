/** `weft serve` and `weft dev`: Weft in this process, until it is told to stop. */
import { flushCompileCache } from 'node:module'
import { Command } from 'commander'
import { type Flags, readConfig } from '../config.ts'
import { listenForStop } from '../stop-signals.ts'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import { gather } from './values.ts'

const ROLE_COUNT = 3

interface ServeOptions {
  readonly host?: string
  readonly port?: string
  readonly dataDir?: string
  readonly databaseUrl?: string
  readonly redisUrl?: string
  readonly opsPort?: string
  readonly roles?: string
  readonly nodes?: string
  readonly allow: string[]
  readonly logLevel?: string
  readonly logFormat?: string
}

const configured = (command: Command): Command =>
  command
    .option('--host <address>', 'address to listen on (WEFT_HOST)')
    .option('-p, --port <port>', 'port to listen on, 0 for a free one (WEFT_PORT)')
    .option('--data-dir <folder>', 'own PostgreSQL, keys, server.json (WEFT_DATA_DIR)')
    .option('--database-url <url>', 'PostgreSQL 15 or newer instead of an own one (WEFT_DATABASE_URL)')
    .option('--redis-url <url>', 'Redis or Valkey, which several processes need (WEFT_REDIS_URL)')
    .option('--roles <roles>', 'api, coordinator, worker (WEFT_ROLES)')
    .option('--ops-port <port>', 'port of health and metrics alone, 0 for a free one (WEFT_OPS_PORT)')
    .option('--nodes <folder>', 'your own node types (WEFT_NODES)')
    .option(
      '--allow <target>',
      'let requests to this host, host:port or CIDR through the egress guard; may be repeated',
      gather,
      [],
    )
    .option('--log-level <level>', 'silent, fatal, error, warn, info, debug or trace (WEFT_LOG_LEVEL)')
    .option('--log-format <format>', 'json or text (WEFT_LOG_FORMAT)')

export const serveCommand = (context: CliContext): Command =>
  configured(
    new Command('serve')
      .summary('run the server')
      .description('Runs Weft until SIGTERM or SIGINT, then finishes what is at work and ends with 0.')
      .addHelpText(
        'after',
        '\nExamples:\n  weft serve --port 7400\n  WEFT_DATABASE_URL=postgres://weft@db/weft weft serve --host 0.0.0.0\n  weft serve --roles worker --database-url postgres://weft@db/weft --redis-url redis://cache:6379',
      ),
  ).action(action(context, (session, options: ServeOptions) => serve(session, options, {})))

export const devCommand = (context: CliContext): Command =>
  configured(
    new Command('dev')
      .summary('run the server for development, in ./.weft')
      .description(
        'Runs Weft for development: data in the nearest .weft (or ./.weft), readable log lines, your own node types loaded again when they change.',
      )
      .addHelpText('after', '\nExamples:\n  weft dev\n  weft dev --nodes ./nodes --allow localhost:3000'),
  ).action(
    action(context, (session, options: ServeOptions) =>
      serve(
        session,
        { logFormat: 'text', logLevel: 'warn', ...options },
        { watchNodes: true, defaultDataDirectory: '.weft' },
      ),
    ),
  )

async function serve(
  session: Session,
  options: ServeOptions,
  extra: { watchNodes?: boolean; defaultDataDirectory?: string },
): Promise<number> {
  const { dataDir, ...rest } = options
  const flags: Flags = { ...rest, dataDirectory: dataDir, ...(extra.watchNodes ? { watchNodes: true } : {}) }
  const { defaultDataDirectory } = extra
  const read = readConfig({ flags, ...(defaultDataDirectory === undefined ? {} : { defaultDataDirectory }) })
  if (!read.ok)
    throw new CliError(
      EXIT.invalid,
      `The configuration is not valid:\n${read.problems.map((problem) => `  ${problem}`).join('\n')}`,
    )
  for (const warning of read.warnings) session.notice(warning)
  const signals = listenForStop()
  const { startWeft, untilStopped } = await import('../main.ts')
  const starting = startWeft(read.config, { progress: (message) => session.notice(message) })
  const weft = await Promise.race([starting, signals.hurried]).catch((error: unknown) => {
    throw new CliError(EXIT.failed, error instanceof Error ? error.message : String(error))
  })
  if (weft === undefined) return EXIT.failed
  const { version, isEmbedded, settings } = weft.database
  const seconds = (weft.readyAfterMs / 1000).toFixed(1)
  if (session.isJson)
    session.json({
      url: weft.url,
      opsUrl: weft.opsUrl,
      roles: [...read.config.roles],
      pid: process.pid,
      readyAfterMs: weft.readyAfterMs,
      dataDirectory: read.config.dataDirectory,
    })
  else {
    const database = `${isEmbedded ? 'own ' : ''}PostgreSQL ${version}, fsync ${settings.fsync ?? 'unknown'}`
    const { roles, dataDirectory } = read.config
    const isApi = roles.has('api')
    const what = roles.size === ROLE_COUNT ? 'Weft' : `Weft (${[...roles].join(', ')})`
    const where = isApi ? ` at ${session.paint('bold', weft.url)}` : ''
    session.line(`${session.paint('green', `${what} is ready`)}${where} in ${seconds} s (${database})`)
    if (weft.opsUrl !== weft.url || !isApi) session.line(`health and metrics at ${weft.opsUrl}`)
    if (isApi) session.line(`data in ${dataDirectory}, the API key in its file \`api-key\``)
  }
  const stopped = untilStopped(weft, signals)
  // Else what was compiled is written at the end, which a killed server never sees.
  setImmediate(flushCompileCache)
  return stopped
}
