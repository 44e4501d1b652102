/**
 * Mastra: a workflow of three steps with its snapshots in PostgreSQL, as its store does by default. A run that was cut
 * off is not taken up by itself; `restart` has to be called for it.
 */
import { Mastra } from '@mastra/core'
import { createStep, createWorkflow } from '@mastra/core/workflows'
import { PostgresStore } from '@mastra/pg'
import pg from 'pg'
import { z } from 'zod'
import type { Peer, Servers } from './peer.ts'

const POOL_SIZE = 20

export async function start({ postgresUrl }: Servers): Promise<Peer> {
  const pool = new pg.Pool({ connectionString: postgresUrl, max: POOL_SIZE })
  const storage = new PostgresStore({ id: 'bench', pool })
  await storage.init()
  const text = z.object({ text: z.string() })
  const step = (id: string, added: string) =>
    createStep({
      id,
      inputSchema: text,
      outputSchema: text,
      execute: async ({ inputData }) => ({ text: inputData.text + added }),
    })
  const chain3 = createWorkflow({ id: 'chain3', inputSchema: text, outputSchema: text })
    .then(step('first', ''))
    .then(step('second', ', checked'))
    .then(step('third', ', sent'))
    .commit()
  const mastra = new Mastra({ storage, workflows: { chain3 }, logger: false })
  const workflow = mastra.getWorkflow('chain3')
  return {
    durability: 'a snapshot committed to PostgreSQL before each step and at the end',
    tuning: `snapshots as by default, no logger, pool of ${POOL_SIZE}`,
    async run(order) {
      const run = await workflow.createRun()
      const result = await run.start({ inputData: { text: `order ${order}` } })
      if (result.status !== 'success' || result.result.text !== `order ${order}, checked, sent`)
        throw new Error(`Mastra ended a run with ${JSON.stringify(result)}`)
    },
    async recorded() {
      const { rows } = await pool.query<{ runs: number; steps: number }>(
        `select count(*)::int as runs, coalesce(sum(steps), 0)::int as steps from (
           select (select count(*) from json_each(snapshot::json->'context') as step (id, result)
                   where result->>'status' = 'success') as steps
           from mastra_workflow_snapshot where snapshot::json->>'status' = 'success'
         ) snapshots`,
      )
      return rows[0] ?? { runs: 0, steps: 0 }
    },
    async stop() {
      await mastra.shutdown()
      await pool.end()
    },
  }
}
