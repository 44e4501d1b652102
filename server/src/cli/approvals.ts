/** `weft approvals …`, `weft approve`, `weft reject`: what waits for a person, and the decision. */
import { isObject, type Json, overlay } from '@weft/engine'
import { Command } from 'commander'
import type { Client } from './client.ts'
import { action, type CliContext, type Session } from './context.ts'
import { CliError, EXIT } from './exit.ts'
import { durationText, type Piece, plain } from './paint.ts'
import { drawPatch } from './patch-drawing.ts'
import { definitionOf } from './patches.ts'
import { resolveRun } from './reference.ts'
import { type Approval, type CommandAnswer, collect, type Page } from './shapes.ts'
import { gather, readJson, readPairs } from './values.ts'

const MOST = 10_000

export function approvalsCommand(context: CliContext): Command {
  const approvals = new Command('approvals')
    .summary('list and decide what waits for a person')
    .description('Lists and decides what waits for a person.')
  approvals
    .command('list')
    .description('Lists approvals, the newest first; the open ones unless told otherwise.')
    .option(
      '-s, --status <status>',
      'open, approved, rejected, timeout, refused, closed, superseded, or all',
      'open',
    )
    .option('-r, --run <run>', 'of this run only')
    .addHelpText(
      'after',
      '\nExamples:\n  weft approvals list\n  weft approvals list --status all --run @last --json',
    )
    .action(action(context, list))
  approvals
    .command('get')
    .description('Shows an approval with its form.')
    .argument('<approval>', 'its id, or a run that has exactly one open approval')
    .addHelpText('after', '\nExamples:\n  weft approvals get @last')
    .action(action(context, get))
  approvals.addCommand(decideCommand(context, 'approve'))
  approvals.addCommand(decideCommand(context, 'reject'))
  return approvals
}

interface DecideOptions {
  readonly comment?: string
  readonly data?: string
  readonly set: string[]
}

export const decideCommand = (context: CliContext, decision: 'approve' | 'reject'): Command =>
  new Command(decision)
    .summary(`${decision} what waits for a person`)
    .description(
      `${decision === 'approve' ? 'Approves' : 'Rejects'} what waits for a person. Exit code 6 when it was decided before.`,
    )
    .argument('<approval>', 'its id, or a run that has exactly one open approval')
    .option('-c, --comment <text>', 'why')
    .option('-i, --set <name=value>', 'one value of the form; may be repeated', gather, [])
    .option('--data <json>', 'the form’s data as JSON, from a file (@data.json), or from stdin (-)')
    .addHelpText(
      'after',
      `\nExamples:\n  weft ${decision} @last\n  weft ${decision} @last:order-triage -i amount=12 --comment "as agreed"`,
    )
    .action(
      action(context, async (session, reference: string, options: DecideOptions) => {
        const client = await session.client()
        const approval = await find(client, reference)
        const answer = await client.call<CommandAnswer>(
          'POST',
          `/api/v1/approvals/${encodeURIComponent(approval.id)}/decide`,
          {
            body: { decision, comment: options.comment, data: await formData(session, options) },
          },
        )
        const notApplied = refusalIn(answer)
        if (session.isJson) session.json({ ...answer, approvalId: approval.id, runId: approval.runId })
        else if (notApplied !== null)
          session.notice(`approved, but the run takes the patch no more: ${plain(notApplied)}`)
        else {
          const decided = decision === 'approve' ? 'approved' : 'rejected'
          const what = answer.accepted ? decided : 'stored, and not answered yet'
          session.line(`${what}  ${plain(approval.title)}  ${session.paint('dim', approval.runId)}`)
        }
        return notApplied === null ? 0 : EXIT.refused
      }),
    )

/** An approved patch is judged once more when it is applied: by then the run may have moved on. */
const refusalIn = ({ detail }: CommandAnswer): string | null =>
  isObject(detail) && detail.applied === false ? String(detail.message) : null

async function formData(session: Session, options: DecideOptions): Promise<Json | undefined> {
  if (options.set.length > 0 && options.data !== undefined)
    throw new CliError(EXIT.invalid, 'Give the form’s data either by -i or by --data, not by both.')
  if (options.data !== undefined) return readJson(options.data, '--data', session.context.terminal)
  return options.set.length > 0 ? readPairs(options.set, '-i') : undefined
}

async function list(session: Session, options: { status: string; run?: string }): Promise<number> {
  const client = await session.client()
  const query = {
    status: options.status === 'all' ? undefined : options.status,
    runId: options.run === undefined ? undefined : await resolveRun(client, options.run),
    limit: 500,
  }
  const items = await collect(
    (cursor) => client.call<Page<Approval>>('GET', '/api/v1/approvals', { query: { ...query, cursor } }),
    MOST,
  )
  return session.list(items, rowOf, 'Nothing waits for a person.')
}

const rowOf = (item: Approval, now: number): Piece[] => [
  { text: item.id },
  { text: item.status, colour: item.status === 'open' ? 'yellow' : 'dim' },
  { text: `${durationText(now - item.openedAt)} ago`, colour: 'dim' },
  {
    text:
      item.expiresAt !== null && item.status === 'open' ? `${durationText(item.expiresAt - now)} left` : '',
    colour: 'dim',
  },
  { text: plain(item.title) },
]

async function get(session: Session, reference: string): Promise<number> {
  const client = await session.client()
  const found = await find(client, reference)
  // The list leaves out what is large.
  const approval = found.patch ? await byId(client, found.id) : found
  if (session.isJson) {
    session.json(approval)
    return 0
  }
  session.line(
    `${session.paint('bold', plain(approval.title))}  ${approval.status}${approval.actor === null ? '' : ` by ${plain(approval.actor)}`}`,
  )
  if (approval.body !== null)
    session.line(
      approval.body
        .split('\n')
        .map((line) => `  ${plain(line)}`)
        .join('\n'),
    )
  session.line(`  run   ${approval.runId}${approval.key === null ? '' : `, step ${approval.key}`}`)
  if (approval.assignees.length > 0) session.line(`  for   ${plain(approval.assignees.join(', '))}`)
  if (approval.patch !== null) await drawProposal(session, client, approval.runId, approval.patch)
  if (approval.form !== null) session.line(`  form  ${JSON.stringify(approval.form)}`)
  return 0
}

async function drawProposal(
  session: Session,
  client: Client,
  runId: string,
  { operations, before: version, preview }: NonNullable<Approval['patch']>,
): Promise<void> {
  const before = await definitionOf(client, runId, version)
  const after = overlay(before, operations)
  if (after) session.lines(drawPatch({ before, after, preview }, session.width, session.paint))
}

const byId = (client: Client, id: string): Promise<Approval> =>
  client.call<Approval>('GET', `/api/v1/approvals/${id}`)

/** An approval's id is its run's with a number behind; anything else names the run. */
async function find(client: Client, reference: string): Promise<Approval> {
  if (/^[0-9a-f-]{36}\.\d+$/.test(reference)) return byId(client, reference)
  const runId = await resolveRun(client, reference)
  const { items } = await client.call<Page<Approval>>('GET', '/api/v1/approvals', {
    query: { runId, status: 'open' },
  })
  const [only, ...others] = items
  if (!only)
    throw new CliError(
      EXIT.invalid,
      `Run ${runId} has no open approval. weft approvals list --status all --run ${runId} shows what there was.`,
    )
  if (others.length === 0) return only
  const names = items.map((item) => `\n  ${item.id}  ${plain(item.title)}`).join('')
  throw new CliError(
    EXIT.invalid,
    `Run ${runId} has ${items.length} open approvals; name the one you mean:${names}`,
  )
}
