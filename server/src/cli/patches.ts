/** `weft patches …`: change a run while it runs, try a change without making it, and see who changed what. */
import { type Definition, isObject, type Json, overlay, type Preview, preview } from '@weft/engine'
import { Command } from 'commander'
import type { Client } from './client.ts'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import { plain } from './paint.ts'
import { drawPatch } from './patch-drawing.ts'
import { resolveRun } from './reference.ts'
import { timeText } from './sentences.ts'
import { collect, type Page, type RunGraph, type RunPatch } from './shapes.ts'
import { gather, readJson } from './values.ts'
import { nodeTypes } from './watch-run.ts'

const MOST = 10_000
const RUN_ARGUMENT = 'an id, its last 6 or more characters, @last, or @last:<workflow>'

export function patchesCommand(context: CliContext): Command {
  const patches = new Command('patches')
    .summary('change a run while it runs, and see who changed what')
    .description(
      'Changes the definition of one run, and lists its changes. The stored workflow stays as it is.',
    )
  patches
    .command('apply')
    .description(
      'Applies a patch (RFC 6902) to a run, all of it or nothing, and draws what it changes. Exit code 2 when it is wrong, 6 when the run has moved on, 4 when it waits for a review. A failed or cancelled run is mended this way before it is retried.',
    )
    .argument('<run>', RUN_ARGUMENT)
    .option('-f, --file <file>', 'the operations as JSON, from a file or from stdin (-)')
    .option('--op <operation>', "one operation, as in 'remove /nodes/check'; may be repeated", gather, [])
    .option('-m, --reason <text>', 'why: it stands in the log beside your name')
    .option('-b, --base <hash>', 'the definition that the patch was written against')
    .option('-n, --dry-run', 'show what the patch would do; change nothing')
    .addHelpText(
      'after',
      `
An operation is \`add\`, \`replace\` or \`test\` with a path and a value, \`remove\` with a path, \`move\` or \`copy\` with the
path to take from and the path to put at. A value is JSON, or text that is not JSON.

Examples:
  weft patches apply @last -f patch.json -m "look twice" --dry-run
  weft patches apply @last --op 'add /nodes/check {"type":"log","with":{"message":"odd"}}' -m "look twice"
  weft patches apply 3fa8c1 --op 'replace /nodes/fetch/with/url https://example.com/v2' -m "moved" && weft runs retry 3fa8c1`,
    )
    .action(action(context, apply))
  patches
    .command('list')
    .description('Lists the patches that a run took: when, by whom, why, and what they changed.')
    .argument('<run>', RUN_ARGUMENT)
    .option('-d, --diff', 'draw what each of them changed')
    .addHelpText('after', '\nExamples:\n  weft patches list @last --diff\n  weft patches list 3fa8c1 --json')
    .action(action(context, list))
  return patches
}

interface ApplyOptions {
  readonly file?: string
  readonly op: string[]
  readonly reason?: string
  readonly base?: string
  readonly dryRun?: boolean
}

interface Outcome {
  readonly before: string
  readonly version: string
  readonly preview: Preview
  readonly warnings: readonly { readonly message: string }[]
}

interface Proposed extends Omit<Outcome, 'version'> {
  readonly review: string
  readonly expiresAt: number | null
  readonly because: readonly string[]
}

type PatchAnswer =
  | {
      readonly commandId: string
      readonly accepted?: true
      readonly detail?: (Outcome & { readonly patch: number }) | Proposed
    }
  | (Outcome & {
      readonly dryRun: true
      readonly definition: Definition
      readonly because: readonly string[]
    })

async function apply(session: Session, reference: string, options: ApplyOptions): Promise<number> {
  const operations = await operationsOf(session, options)
  if (options.reason === undefined && !options.dryRun)
    throw new CliError(EXIT.invalid, 'Say why with -m "…": it stands in the log beside your name.')
  const client = await session.client()
  const id = await resolveRun(client, reference)
  const answer = await client.call<PatchAnswer>('POST', `/api/v1/runs/${id}/patches`, {
    body: {
      operations,
      reason: options.reason ?? 'dry run',
      baseVersion: options.base,
      ...(options.dryRun ? { dryRun: true } : {}),
    },
  })
  const outcome = 'dryRun' in answer ? answer : answer.detail
  const exitCode = outcome && 'review' in outcome ? EXIT.waitsForPerson : 0
  if (session.isJson) {
    session.json(answer)
    return exitCode
  }
  if (!outcome) {
    session.notice(
      `The run has not answered yet; the patch is on its way. weft patches list ${id} shows when it is applied.`,
    )
    return exitCode
  }
  const before = await definitionOf(client, id, outcome.before)
  const after =
    'version' in outcome && !('dryRun' in answer)
      ? await definitionOf(client, id, outcome.version)
      : overlay(before, operations)
  if (after)
    session.lines(drawPatch({ before, after, preview: outcome.preview }, session.width, session.paint))
  for (const { message } of outcome.warnings) session.notice(`warning: ${plain(message)}`)
  if ('because' in outcome)
    for (const reason of outcome.because) session.notice(`A person decides first, because ${plain(reason)}.`)
  session.line(resultLine(session, id, outcome))
  return exitCode
}

function resultLine({ paint }: Session, runId: string, outcome: Outcome | Proposed): string {
  if ('review' in outcome)
    return `under review  ${outcome.review}  ${paint('dim', `weft approve ${outcome.review}`)}`
  return 'dryRun' in outcome
    ? `would apply  ${paint('dim', 'nothing was changed')}`
    : `applied  ${paint('dim', runId)}`
}

/** The operations of `-f` or `--op`, which are options of every command that takes a patch. */
export async function operationsOf(
  session: Session,
  { file, op }: Pick<ApplyOptions, 'file' | 'op'>,
): Promise<Json> {
  if ((file === undefined) === (op.length === 0))
    throw new CliError(EXIT.invalid, 'Give the patch either by -f or by --op.')
  if (file === undefined) return op.map(readOperation)
  return readJson(file === '-' ? '-' : `@${file}`, '-f', session.context.terminal)
}

function readOperation(text: string): Json {
  const [, op = '', first = '', rest = ''] = /^\s*(\S+)\s+(\S+)\s*([\s\S]*)$/.exec(text) ?? []
  switch (op) {
    case 'remove':
      if (rest === '') return { op, path: first }
      break
    case 'move':
    case 'copy':
      if (rest !== '' && !/\s/.test(rest)) return { op, from: first, path: rest }
      break
    case 'add':
    case 'replace':
    case 'test':
      if (rest !== '') return { op, path: first, value: looseValue(rest) }
  }
  throw new CliError(
    EXIT.invalid,
    `--op ${plain(text)} is none of: add|replace|test <path> <value>, remove <path>, move|copy <from> <path>.`,
  )
}

function looseValue(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    return text
  }
}

export const definitionOf = async (client: Client, runId: string, version: string): Promise<Definition> =>
  (
    await client.call<RunGraph & { definition: Definition }>('GET', `/api/v1/runs/${runId}/graph`, {
      query: { version },
    })
  ).definition

async function list(session: Session, reference: string, options: { diff?: boolean }): Promise<number> {
  const client = await session.client()
  const id = await resolveRun(client, reference)
  const items = await collect(
    (cursor) =>
      client.call<Page<RunPatch>>('GET', `/api/v1/runs/${id}/patches`, {
        query: { after: cursor, limit: 500 },
      }),
    MOST,
  )
  if (session.isJson) {
    session.json(items)
    return 0
  }
  if (items.length === 0) session.notice('The run took no patch.')
  const types = options.diff ? await nodeTypes(client) : null
  for (const item of items) {
    const { paint } = session
    const approval = item.approvedBy === null ? '' : paint('dim', ` (approved by ${plain(item.approvedBy)})`)
    session.line(
      `${paint('dim', timeText(item.at))}  ${paint('magenta', plain(item.actor))}${approval}  ${plain(item.reason)}`,
    )
    if (!types) {
      for (const operation of item.operations) session.line(`  ${plain(operationText(operation))}`)
      continue
    }
    const before = await definitionOf(client, id, item.before)
    const after = await definitionOf(client, id, item.after)
    const picture = { before, after, preview: preview(before, after, types) }
    session.lines(drawPatch(picture, session.width, paint))
  }
  return 0
}

function operationText(operation: Json): string {
  if (!isObject(operation)) return JSON.stringify(operation)
  const { op, path, from, value } = operation
  const parts = [op, from, path].filter((part) => part !== undefined)
  return value === undefined ? parts.join(' ') : `${parts.join(' ')} ${JSON.stringify(value)}`
}
