/** `weft workflows …`: stored definitions, their versions and tags. */
import { Command } from 'commander'
import { inFile } from './check-file.ts'
import { action, type CliContext } from './context.ts'
import { deleteCommand } from './delete.ts'
import { CliError, EXIT } from './exit.ts'
import { durationText, type Piece, plain } from './paint.ts'
import {
  collect,
  type Page,
  type PushedWorkflow,
  type WorkflowDetail,
  type WorkflowSummary,
} from './shapes.ts'
import { validateCommand } from './validate.ts'
import { gather, readText } from './values.ts'

const REFERENCE = 'name, name@tag or name@version'
const MOST = 10_000

export function workflowsCommand(context: CliContext): Command {
  const workflows = new Command('workflows')
    .summary('store, list and tag workflows')
    .description('Stores, lists and tags workflows. A version never changes; a tag can be moved.')
  workflows
    .command('list')
    .description('Lists workflows, each in its newest version.')
    .addHelpText('after', '\nExamples:\n  weft workflows list --json')
    .action(
      action(context, async (session) => {
        const client = await session.client()
        const items = await collect(
          (cursor) =>
            client.call<Page<WorkflowSummary>>('GET', '/api/v1/workflows', { query: { limit: 500, cursor } }),
          MOST,
        )
        return session.list(items, row, 'No workflow is stored yet. Store one: weft workflows create <file>.')
      }),
    )
  workflows
    .command('get')
    .description('Prints a workflow as its author wrote it.')
    .argument('<workflow>', REFERENCE)
    .addHelpText(
      'after',
      '\nExamples:\n  weft workflows get order-triage > order.yaml\n  weft workflows get order-triage@3 --json',
    )
    .action(
      action(context, async (session, reference: string) => {
        const workflow = await (await session.client()).call<WorkflowDetail>(
          'GET',
          `/api/v1/workflows/${encodeURIComponent(reference)}`,
        )
        if (session.isJson) session.json(workflow)
        else session.line((workflow.source ?? JSON.stringify(workflow.definition, null, 2)).trimEnd())
        return 0
      }),
    )
  workflows
    .command('create')
    .alias('push')
    .description('Stores a workflow: its first version, or the next one when it has changed.')
    .argument('<files...>', '.yaml or .json files, or - for stdin')
    .option('-t, --tag <tag>', 'tag of the version; may be repeated', gather, [])
    .addHelpText(
      'after',
      '\nExamples:\n  weft workflows create order.yaml --tag prod\n  weft workflows create workflows/*.yaml',
    )
    .action(
      action(context, async (session, files: string[], options: { tag: string[] }) => {
        const client = await session.client()
        const pushed: PushedWorkflow[] = []
        for (const file of files) {
          const source = await readText(file, session.context.terminal)
          const answer = await client
            .call<PushedWorkflow>('POST', '/api/v1/workflows', { body: { source, tags: options.tag } })
            .catch((error: unknown) => {
              throw inFile(error, file, source)
            })
          pushed.push(answer)
          if (session.isJson) continue
          session.line(
            `${answer.name}@${answer.version}  ${answer.created ? 'stored' : 'is the same already'}`,
          )
          for (const { code, message } of answer.warnings) session.notice(`  ${code}: ${message}`)
        }
        if (session.isJson) session.json(pushed)
        return 0
      }),
    )
  workflows.addCommand(validateCommand(context))
  workflows
    .command('versions')
    .description('Lists the versions of a workflow, the newest first.')
    .argument('<workflow>', 'its name')
    .addHelpText('after', '\nExamples:\n  weft workflows versions order-triage')
    .action(
      action(context, async (session, name: string) => {
        const { items } = await (await session.client()).call<Page<WorkflowSummary>>(
          'GET',
          `/api/v1/workflows/${encodeURIComponent(name)}/versions`,
        )
        return session.list(items, row)
      }),
    )
  workflows
    .command('tag')
    .description('Moves a tag to a version.')
    .argument('<workflow>', 'name@version')
    .argument('<tag>', 'the tag, such as prod')
    .addHelpText('after', '\nExamples:\n  weft workflows tag order-triage@3 prod')
    .action(
      action(context, async (session, reference: string, tag: string) => {
        const [, name, version] = /^(.+)@(\d+)$/.exec(reference) ?? []
        if (name === undefined)
          throw new CliError(
            EXIT.invalid,
            `\`${reference}\` names no version: write name@version, such as order-triage@3.`,
          )
        const path = `/api/v1/workflows/${encodeURIComponent(name)}/tags/${encodeURIComponent(tag)}`
        const answer = await (await session.client()).call<WorkflowSummary>('PUT', path, {
          body: { version: Number(version) },
        })
        if (session.isJson) session.json(answer)
        else session.line(`${answer.name}@${tag} is version ${answer.version}`)
        return 0
      }),
    )
  workflows.addCommand(
    deleteCommand(context, {
      argument: 'workflow',
      description: 'Deletes a workflow with its versions and tags. Its runs stay.',
      example: 'weft workflows delete order-triage',
      pathOf: (name) => `/api/v1/workflows/${encodeURIComponent(name)}`,
    }),
  )
  return workflows
}

function row({ name, version, tags, description, createdAt }: WorkflowSummary, now: number): Piece[] {
  return [
    { text: `${plain(name)}@${version}` },
    { text: tags.join(', '), colour: 'cyan' },
    { text: `${durationText(now - createdAt)} ago`, colour: 'dim' },
    { text: plain(description ?? ''), colour: 'dim' },
  ]
}
