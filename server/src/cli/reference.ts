/** What people write for a run: a whole id, its end, `@last`, `@last:workflow`. */
import type { Client } from './client.ts'
import { CliError, EXIT } from './exit.ts'
import type { Page, RunSummary } from './shapes.ts'

const WHOLE_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const SHORTEST = 6

export async function resolveRun(client: Client, reference: string): Promise<string> {
  if (WHOLE_ID.test(reference)) return reference.toLowerCase()
  const isLast = reference === '@last' || reference.startsWith('@last:')
  if (!isLast && !(reference.length >= SHORTEST && /^[0-9a-f-]+$/i.test(reference))) {
    throw new CliError(
      EXIT.invalid,
      `\`${reference}\` names no run: write an id, its last ${SHORTEST} or more characters, @last, or @last:<workflow>.`,
    )
  }
  const { items } = await client.call<Page<RunSummary>>('GET', '/api/v1/runs', {
    query: { reference, limit: 10 },
  })
  const [first, ...others] = items
  if (!first)
    throw new CliError(
      EXIT.invalid,
      `No run matches \`${reference}\`. \`weft runs list\` shows what there is.`,
    )
  if (others.length > 0) {
    throw new CliError(
      EXIT.invalid,
      `\`${reference}\` fits several runs: ${items.map((run) => run.id).join(', ')}. Write more of the id.`,
    )
  }
  return first.id
}
