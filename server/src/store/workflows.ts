/**
 * Workflows, their immutable versions and movable tags. `latest` is a tag like any other, which every new version takes;
 * a bare name means it.
 */

import { pageOf, placeOf } from './cursor.ts'
import type { Database } from './database.ts'
import { and, desc, eq, gt, type NodePgDatabase, type SQL, sql } from './drizzle.ts'
import { groupCommit } from './group-commit.ts'
import { workflows, workflowTags, workflowVersions } from './schema.ts'
import type { Store, StoredWorkflow } from './store.ts'
import { columnText, jsonText } from './stored-text.ts'

const LATEST = 'latest'
const LOOKUPS_PER_READ = 500
const READS_IN_FLIGHT = 2

type Lookup = Parameters<Store['workflows']['get']>[0]
type Transaction = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

const VERSION_COLUMNS = {
  name: workflowVersions.name,
  version: workflowVersions.version,
  graph: workflowVersions.graph,
  description: workflowVersions.description,
  source: workflowVersions.source,
  definition: workflowVersions.definition,
  createdAt: workflowVersions.createdAt,
  // Written out: inside a selection Drizzle drops the table's name from its columns.
  tags: sql<string[]>`array(
    select t.tag from workflow_tags t
    where t.workspace = workflow_versions.workspace and t.name = workflow_versions.name
      and t.version = workflow_versions.version
    order by t.tag)`,
}

export function openWorkflows({ tables }: Database): Store['workflows'] {
  const select = (where: SQL | undefined) =>
    tables.select(VERSION_COLUMNS).from(workflowVersions).where(where)

  async function read({ workspace, reference }: Lookup): Promise<StoredWorkflow | null> {
    const at = reference.indexOf('@')
    const name = at < 0 ? reference : reference.slice(0, at)
    const label = at < 0 ? LATEST : reference.slice(at + 1)
    const version = /^\d{1,9}$/.test(label)
      ? sql`${Number(label)}`
      : sql`(select t.version from workflow_tags t where t.workspace = ${workspace} and t.name = ${name} and t.tag = ${label})`
    const [row] = await select(
      and(named(workflowVersions, workspace, name), eq(workflowVersions.version, version)),
    )
    return row ?? null
  }

  // Every submit asks what its reference means now. Those that come while a read is under way share the next one, which
  // sees whatever was pushed before they asked.
  const lookups = groupCommit<Lookup, StoredWorkflow | null>({
    commit(wanted) {
      const reads = new Map<string, Promise<StoredWorkflow | null | Error>>()
      return Promise.all(
        wanted.map((lookup) => {
          const key = `${lookup.workspace}\n${lookup.reference}`
          const reading = reads.get(key) ?? read(lookup).catch((error: Error) => error)
          reads.set(key, reading)
          return reading
        }),
      )
    },
    rowsPerCommit: LOOKUPS_PER_READ,
    commitsInFlight: READS_IN_FLIGHT,
  })

  return {
    push({ workspace, name, graph, definition, source, description, tags, at }) {
      return tables.transaction(async (transaction) => {
        const newest = await lockNewest(transaction, workspace, name)
        const same =
          newest > 0 &&
          (await isSame(transaction, { workspace, name, version: newest, graph, definition, source }))
        const version = same ? newest : newest + 1
        if (!same) {
          await transaction.insert(workflowVersions).values({
            workspace,
            name,
            version,
            graph,
            definition: jsonText(definition),
            source,
            description: description === null ? null : columnText(description),
            createdAt: at,
          })
          await transaction
            .update(workflows)
            .set({ newest: version })
            .where(named(workflows, workspace, name))
        }
        const moved = same ? tags : [...tags, LATEST]
        for (const tag of new Set(moved)) await moveTag(transaction, { workspace, name, tag, version })
        return { version, created: !same }
      })
    },

    get: (lookup) => lookups.add(lookup),

    async list({ workspace, limit, cursor }) {
      const newest = sql`${workflowVersions.version} = (
        select w.newest from workflows w
        where w.workspace = ${workflowVersions.workspace} and w.name = ${workflowVersions.name})`
      const after =
        cursor === undefined ? undefined : gt(workflowVersions.name, placeOf(cursor, ['string'])[0])
      const rows: StoredWorkflow[] = await select(
        and(eq(workflowVersions.workspace, workspace), newest, after),
      )
        .orderBy(workflowVersions.name)
        .limit(limit + 1)
      return pageOf(rows, limit, (row) => [row.name])
    },

    versions({ workspace, name }) {
      return select(named(workflowVersions, workspace, name))
        .orderBy(desc(workflowVersions.version))
        .execute()
    },

    tag({ workspace, name, tag, version }) {
      return tables.transaction(async (transaction) => {
        const [row] = await transaction
          .select({ version: workflowVersions.version })
          .from(workflowVersions)
          .where(and(named(workflowVersions, workspace, name), eq(workflowVersions.version, version)))
        if (row) await moveTag(transaction, { workspace, name, tag, version })
        return row !== undefined
      })
    },

    delete({ workspace, name }) {
      return tables.transaction(async (transaction) => {
        const rows = await transaction
          .delete(workflows)
          .where(named(workflows, workspace, name))
          .returning({ name: workflows.name })
        await transaction.delete(workflowTags).where(named(workflowTags, workspace, name))
        await transaction.delete(workflowVersions).where(named(workflowVersions, workspace, name))
        return rows.length > 0
      })
    },
  }
}

const named = (
  table: typeof workflows | typeof workflowVersions | typeof workflowTags,
  workspace: string,
  name: string,
): SQL | undefined => and(eq(table.workspace, workspace), eq(table.name, name))

/** The newest version's number, 0 for a new workflow; whoever else pushes it waits. */
async function lockNewest(transaction: Transaction, workspace: string, name: string): Promise<number> {
  await transaction.insert(workflows).values({ workspace, name, newest: 0 }).onConflictDoNothing()
  const [row] = await transaction
    .select({ newest: workflows.newest })
    .from(workflows)
    .where(named(workflows, workspace, name))
    .for('update')
  return row?.newest ?? 0
}

/** Compares texts: what is outside the graph's hash (`ui`, `labels`) makes a version, too. */
async function isSame(
  transaction: Transaction,
  pushed: Pick<StoredWorkflow, 'name' | 'version' | 'graph' | 'definition' | 'source'> & {
    workspace: string
  },
): Promise<boolean> {
  const [row] = await transaction
    .select({
      graph: workflowVersions.graph,
      definition: workflowVersions.definition,
      source: workflowVersions.source,
    })
    .from(workflowVersions)
    .where(
      and(
        named(workflowVersions, pushed.workspace, pushed.name),
        eq(workflowVersions.version, pushed.version),
      ),
    )
  return (
    row?.graph === pushed.graph &&
    row.source === pushed.source &&
    JSON.stringify(row.definition) === JSON.stringify(pushed.definition)
  )
}

async function moveTag(
  transaction: Transaction,
  row: { workspace: string; name: string; tag: string; version: number },
): Promise<void> {
  await transaction
    .insert(workflowTags)
    .values(row)
    .onConflictDoUpdate({
      target: [workflowTags.workspace, workflowTags.name, workflowTags.tag],
      set: { version: row.version },
    })
}
