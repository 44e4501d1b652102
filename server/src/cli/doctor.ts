/** `weft doctor`: what is in force, whether it is healthy, and what to do where it is not. */
import { Command } from 'commander'
import { describeConfig, readConfig } from '../config.ts'
import { RESUME_ADVICE } from '../hold.ts'
import { readServerFile } from '../server-file.ts'
import { action, type CliContext, type Session } from './context.ts'
import { EXIT } from './exit.ts'
import { type Piece, plain, table } from './paint.ts'
import type { About, Page, RunSummary, WorkerSummary } from './shapes.ts'

const CLOCK_OFFSET_LIMIT_MS = 1_000
const PARTITIONS = 16
/** Two beats were missed. */
const SILENCE_LIMIT_MS = 5_000
/** Settings of PostgreSQL on which the durability of runs rests. */
const DURABILITY = ['fsync', 'synchronous_commit', 'full_page_writes']

export const doctorCommand = (context: CliContext): Command =>
  new Command('doctor')
    .summary('check the configuration and the server')
    .description(
      'Prints the configuration in force here, the server that the CLI finds, its database, and what is wrong with any of them.',
    )
    .addHelpText('after', '\nExamples:\n  weft doctor\n  weft doctor --json')
    .action(action(context, doctor))

async function doctor(session: Session): Promise<number> {
  const read = readConfig()
  const settings = read.ok ? describeConfig(read.config) : []
  const problems: string[] = read.ok ? [] : [...read.problems]
  const warnings: string[] = read.ok ? [...read.warnings] : []
  const file = await readServerFile(session.context.environment.dataDirectory)
  const { client, where, isOwnEngine } = await session.connection()
  const about = await client.call<About>('GET', '/api/v1/about')
  const { items: workers } = await client.call<Page<WorkerSummary>>('GET', '/api/v1/workers')
  const stuck = about.runs.stuck > 0 ? await stuckRuns(session) : []
  if (isOwnEngine && file)
    warnings.push(
      `server.json names a server at ${file.url} (process ${file.pid}) that does not live any more; it was left by a killed process and does no harm.`,
    )
  for (const name of DURABILITY) {
    const value = about.postgres.settings[name]
    if (value === 'off')
      problems.push(`PostgreSQL runs with ${name} = off: a power cut may lose accepted runs. Set it to on.`)
  }
  if (Math.abs(about.clockOffsetMs) > CLOCK_OFFSET_LIMIT_MS)
    warnings.push(
      `The server’s clock and the database’s differ by ${about.clockOffsetMs} ms. Synchronise them (NTP): timers follow the database.`,
    )
  const unowned = PARTITIONS - about.coordinators.flatMap(({ partitions }) => partitions).length
  if (unowned > 0)
    problems.push(
      `${unowned} of ${PARTITIONS} partitions have no owner, and their runs do not move. Start a process with the coordinator role; if there is one, its log says what keeps it.`,
    )
  for (const { name, silentMs } of about.coordinators)
    if (silentMs > SILENCE_LIMIT_MS)
      warnings.push(
        `The coordinator ${name} has not shown itself for ${Math.round(silentMs / 1000)} s; its peers end its session after 8 s and take over.`,
      )
  for (const { name } of about.held)
    warnings.push(`${name} was started with WEFT_START_PAUSED and dispatches nothing: ${RESUME_ADVICE}.`)
  if (workers.length === 0)
    warnings.push('No worker lives: tasks stay queued. Start a process with the worker role.')
  for (const run of stuck)
    problems.push(
      `Run ${run.id} (${run.workflow}) is stuck: ${run.stuckReason}. Try it again: weft recover ${run.id}`,
    )
  if (session.isJson) {
    session.json({
      settings,
      server: { url: client.address.url, where, ...about },
      workers,
      stuck,
      problems,
      warnings,
    })
    return problems.length > 0 ? EXIT.failed : 0
  }
  print(session, { settings, where, about, workers, problems, warnings })
  return problems.length > 0 ? EXIT.failed : 0
}

async function stuckRuns(session: Session): Promise<RunSummary[]> {
  const { items } = await (await session.client()).call<Page<RunSummary>>('GET', '/api/v1/runs', {
    query: { stuck: 'true', limit: 50 },
  })
  return [...items]
}

interface Findings {
  readonly settings: ReturnType<typeof describeConfig>
  readonly where: string
  readonly about: About
  readonly workers: readonly WorkerSummary[]
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
}

function print(session: Session, { settings, where, about, workers, problems, warnings }: Findings): void {
  const { paint, width } = session
  const rows = (items: readonly (readonly [string, string])[]) =>
    session.lines(
      table(
        items.map(([name, value]): Piece[] => [{ text: `  ${name}`, colour: 'dim' }, { text: plain(value) }]),
        width,
        paint,
      ),
    )
  session.line(paint('bold', 'Configuration here'))
  rows(settings.map(({ name, value }) => [name, value]))
  session.line(paint('bold', 'Server'))
  const runs = Object.entries(about.runs.byStatus).map(([status, count]) => `${count} ${status}`)
  rows([
    ['weft', `${about.version}, ${where}`],
    ['transport', about.transport],
    ['unfinished runs', runs.join(', ') || 'none'],
    ['stuck runs', String(about.runs.stuck)],
    [
      'queues',
      about.lanes
        .filter((lane) => lane.waiting + lane.active > 0)
        .map((lane) => `${lane.type}: ${lane.waiting} waiting, ${lane.active} active`)
        .join('; ') || 'empty',
    ],
    ['clock offset', `${about.clockOffsetMs} ms`],
  ])
  session.line(paint('bold', 'Coordinators'))
  rows(
    about.coordinators.map(({ name, partitions, leaving }) => [
      name,
      `partitions ${partitions.join(' ') || 'none'}${leaving ? ', leaving' : ''}`,
    ]),
  )
  session.line(paint('bold', 'Workers'))
  rows(
    workers.map(({ name, types }) => [
      name,
      types.map(({ type, active, limit }) => `${type} ${active}/${limit ?? '∞'}`).join(', '),
    ]),
  )
  session.line(paint('bold', 'PostgreSQL'))
  rows([['version', about.postgres.version], ...Object.entries(about.postgres.settings)])
  for (const warning of warnings) session.line(`${paint('yellow', '!')} ${plain(warning)}`)
  for (const problem of problems) session.line(`${paint('red', '✘')} ${plain(problem)}`)
  if (problems.length === 0)
    session.line(`${paint('green', '✔')} nothing is wrong${warnings.length > 0 ? ' that cannot wait' : ''}`)
}
