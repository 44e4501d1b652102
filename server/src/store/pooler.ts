/**
 * Finds out whether a transaction pooler (PgBouncer in `transaction` or `statement` mode, and its like) stands between
 * this program and PostgreSQL. Behind one a session is not a session: the advisory locks of an owner (R3) would belong
 * to whoever uses the server connection next. A pooler in `session` mode is fine.
 *
 * No setting can be asked for this, so it is provoked. One client marks its session; while a second client keeps a
 * transaction open, both look. Each sees its own session, on its own server process, or there is a pooler: it hands the
 * second client the server connection that the first has just left, and the first one another.
 */
import { StoreError } from './store.ts'

export interface ProbeClient {
  query(text: string, values?: unknown[]): Promise<{ rows: { pid: number; mark: string | null }[] }>
}

const LOOK = `select pg_backend_pid() as pid, current_setting('weft.probe', true) as mark`

export async function isBehindTransactionPooler(first: ProbeClient, second: ProbeClient): Promise<boolean> {
  const marked = await first.query(
    `select pg_backend_pid() as pid, set_config('weft.probe', 'first', false) as mark`,
  )
  await second.query('begin')
  try {
    const seenBySecond = await second.query(LOOK)
    const seenByFirst = await first.query(LOOK)
    const own = marked.rows[0]!
    const other = seenBySecond.rows[0]!
    const again = seenByFirst.rows[0]!
    return other.pid === own.pid || other.mark === 'first' || again.pid !== own.pid || again.mark !== 'first'
  } finally {
    await second.query('rollback')
  }
}

export async function refuseTransactionPooler(first: ProbeClient, second: ProbeClient): Promise<void> {
  if (!(await isBehindTransactionPooler(first, second))) return
  throw new StoreError(
    'database_behind_pooler',
    'WEFT_DATABASE_URL leads through a transaction pooler (such as PgBouncer with pool_mode=transaction), which breaks the locks that keep two coordinators apart. Point it at PostgreSQL itself, or at a pool in session mode.',
  )
}
