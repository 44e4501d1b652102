/**
 * DBOS Transact: a workflow function of three steps, called directly. That is its quickest way: the workflow's row and
 * each step's result are committed, and the caller has the result without asking the database for it. (Through one of
 * its queues it would add a poll to each run.)
 */
import { DBOS } from '@dbos-inc/dbos-sdk'
import pg from 'pg'
import type { Peer, Servers } from './peer.ts'

const POOL_SIZE = 20

export async function start({ postgresUrl }: Servers): Promise<Peer> {
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: postgresUrl,
    systemDatabasePoolSize: POOL_SIZE,
    logLevel: 'error',
    applicationVersion: 'bench',
  })
  const chain = DBOS.registerWorkflow(
    async (order: number): Promise<string> => {
      const first = await DBOS.runStep(async () => `order ${order}`, { name: 'first' })
      const second = await DBOS.runStep(async () => `${first}, checked`, { name: 'second' })
      return DBOS.runStep(async () => `${second}, sent`, { name: 'third' })
    },
    { name: 'chain3' },
  )
  await DBOS.launch()
  return {
    durability: 'every step and status committed to PostgreSQL',
    tuning: `called directly (no queue to poll), pool of ${POOL_SIZE}`,
    async run(order) {
      const result = await chain(order)
      if (result !== `order ${order}, checked, sent`) throw new Error(`DBOS answered ${result}`)
    },
    async recorded() {
      const client = new pg.Client({ connectionString: postgresUrl })
      await client.connect()
      try {
        const { rows } = await client.query<{ runs: number; steps: number }>(
          `select (select count(*)::int from dbos.workflow_status where status = 'SUCCESS' and name = 'chain3') as runs,
                  (select count(*)::int from dbos.operation_outputs where error is null) as steps`,
        )
        return rows[0] ?? { runs: 0, steps: 0 }
      } finally {
        await client.end()
      }
    },
    stop: () => DBOS.shutdown(),
  }
}
