/** `weft run`: starts a run of a file or of a stored workflow, and stays with it. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isObject, type Json } from '@weft/engine'
import { Command } from 'commander'
import type { Clock } from '../clock.ts'
import { checkFile, inFile } from './check-file.ts'
import type { Client } from './client.ts'
import { action, type CliContext, type Session } from './context.ts'
import type { RunPicture } from './draw.ts'
import { CliError, EXIT, exitCodeOf } from './exit.ts'
import { brief } from './sentences.ts'
import type { Approval, Page, RunDetail } from './shapes.ts'
import { gather, readJson, readLabels, readPairs } from './values.ts'
import { watchRun } from './watch-run.ts'

interface RunOptions {
  readonly set: string[]
  readonly input?: string
  readonly label: string[]
  readonly follow?: boolean
  readonly wait: boolean
  readonly detach?: boolean
  readonly idempotencyKey?: string
}

export const runCommand = (context: CliContext): Command =>
  new Command('run')
    .summary('run a workflow file, or a stored workflow')
    .description(
      'Runs a workflow file, or a stored workflow, and stays until it has ended. In a terminal its graph is drawn live.',
    )
    .argument('<workflow>', 'a .yaml or .json file, or a name, name@tag or name@version')
    .option(
      '-i, --set <name=value>',
      'one value of the input; may be repeated, and a dot in the name nests',
      gather,
      [],
    )
    .option('--input <json>', 'the input as JSON, from a file (@input.json), or from stdin (-)')
    .option('-l, --label <name=value>', 'label of the run; may be repeated', gather, [])
    .option('--follow', 'show every change (the default in a terminal)')
    .option('--no-follow', 'print the outcome only')
    .option('--no-wait', 'leave as soon as the run waits for a person, with exit code 4')
    .option('-d, --detach', 'print the id and leave at once')
    .option('--idempotency-key <key>', 'the same key starts one run, however often it is sent')
    .addHelpText(
      'after',
      `
Examples:
  weft run hello.yaml
  weft run order-triage -i orderId=A-17 -i customer.name=Ada
  weft run order-triage@prod --input @order.json --json
  echo '{"orderId":"A-17"}' | weft run order-triage --input - --detach

Exit codes: 0 completed · 1 failed · 2 invalid input · 3 cancelled · 4 waiting for a person (--no-wait)
            5 server unreachable · 6 refused`,
    )
    .action(action(context, run))

async function run(session: Session, workflow: string, options: RunOptions): Promise<number> {
  const { terminal } = session.context
  const what = await whatToRun(workflow, session.context.clock)
  const given = options.input === undefined ? undefined : await readJson(options.input, '--input', terminal)
  const { client, isHeld } = await session.connection()
  if (isHeld && !options.detach)
    throw new CliError(
      EXIT.refused,
      'WEFT_START_PAUSED is set, so the engine of this command dispatches nothing and the run would never end. Nothing was started. Unset it, or store the run with --detach for the server that starts next.',
    )
  const body = { ...what, input: mergeInput(given, options.set), labels: readLabels(options.label) }
  const key = options.idempotencyKey
  const submitted = await client
    .call<{ id: string }>('POST', '/api/v1/runs', {
      body,
      ...(key === undefined ? {} : { idempotencyKey: key }),
    })
    .catch((error: unknown) => {
      throw 'source' in what ? inFile(error, workflow, what.source) : error
    })
  if (options.detach) {
    if ((await session.connection()).isOwnEngine)
      session.notice(
        'The engine of this command ends with it; the run goes on when a server starts on the same data.',
      )
    if (session.isJson) session.json(submitted)
    else session.line(submitted.id)
    return EXIT.completed
  }
  const isFollowing = (options.follow ?? session.isDrawing) && !session.isJson
  await watchRun(session, client, submitted.id, {
    isSilent: !isFollowing,
    ...(options.wait ? {} : { until: waitsForPerson }),
  })
  return reportOutcome(session, client, submitted.id)
}

async function whatToRun(workflow: string, clock: Clock): Promise<{ workflow: string } | { source: string }> {
  if (!/\.(ya?ml|json)$/i.test(workflow) && !(workflow.includes('/') && existsSync(workflow)))
    return { workflow }
  if (!existsSync(workflow)) {
    throw new CliError(
      EXIT.invalid,
      `There is no file ${workflow}. Write the path of a workflow file, or the name of a stored workflow (weft workflows list).`,
    )
  }
  const source = await readFile(workflow, 'utf8')
  // Types of the server are unknown here, so that only what no server accepts is refused before one is asked.
  const checked = await checkFile(source, workflow, clock, 'skip')
  if (!checked.ok)
    throw new CliError(EXIT.invalid, checked.text, { code: 'invalid_definition', problems: checked.problems })
  return { source }
}

function mergeInput(given: Json | undefined, pairs: readonly string[]): Json | undefined {
  if (pairs.length === 0) return given
  const set = readPairs(pairs, '-i')
  if (given === undefined) return set
  if (!isObject(given))
    throw new CliError(
      EXIT.invalid,
      'With -i the --input must be a JSON object, to which the values are added.',
    )
  return { ...given, ...set }
}

function waitsForPerson({ view }: RunPicture): boolean {
  return view?.status === 'waiting' && view.waitingFor.length === 1 && view.waitingFor[0] === 'approval'
}

async function reportOutcome(session: Session, client: Client, id: string): Promise<number> {
  // The server may restart between the last event and this.
  const run = await client.patiently(() => client.call<RunDetail>('GET', `/api/v1/runs/${id}`))
  if (session.isJson) session.json(run)
  else if (run.status === 'completed') {
    session.line(`${session.paint('green', 'completed')}  ${id}`)
    if (run.output !== null) session.json(run.output)
  } else if (run.status === 'failed') {
    session.line(`${session.paint('red', 'failed')}  ${id}`)
    const message = run.error?.message ?? ''
    const step = run.steps.find((candidate) => candidate.status === 'failed' && !candidate.handled)
    const place = step && !message.includes(`\`${step.id}\``) ? `step ${step.id}: ` : ''
    session.line(`${place}${run.error?.code}: ${message}`)
    session.notice(
      `Look closer: weft why ${id}, weft logs ${id}. Try again from the failure: weft runs retry ${id}.`,
    )
  } else if (run.status === 'cancelled') session.line(`${session.paint('magenta', 'cancelled')}  ${id}`)
  else await reportWaiting(session, client, run)
  return exitCodeOf(run.status)
}

async function reportWaiting(session: Session, client: Client, run: RunDetail): Promise<void> {
  session.line(`${session.paint('yellow', run.status)} for ${run.waitingFor.join(', ')}  ${run.id}`)
  const { items } = await client.call<Page<Approval>>('GET', '/api/v1/approvals', {
    query: { runId: run.id, status: 'open' },
  })
  for (const approval of items) {
    session.line(`  ${brief(approval.title)}`)
    session.line(`  weft approve ${approval.id}   or   weft reject ${approval.id}`)
  }
}
