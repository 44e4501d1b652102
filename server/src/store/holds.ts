/**
 * Processes that were started paused, and the word that lets them go on. A row stays until its process has read it: one
 * that was cut off when it was resumed hears of it later, and none takes the loss of its row for permission.
 */
import type { Database } from './database.ts'
import type { Store } from './store.ts'

const NOW_MS = '(extract(epoch from clock_timestamp()) * 1000)::bigint'
/** Who was silent for longer is not shown: it was killed, or is cut off. */
const SHOWN_MS = 12_000
/** Rows of processes that were killed go after a day. */
const KEPT_MS = 24 * 3_600_000

const BEAT = `
with gone as (delete from held_processes where beat_at < ${NOW_MS} - ${KEPT_MS} and id <> $1)
insert into held_processes (id, name, resumed, since, beat_at)
values ($1, $2, false, ${NOW_MS}, ${NOW_MS})
on conflict (id) do update set beat_at = excluded.beat_at
returning resumed`

const LIST = `
select name, since from held_processes
where not resumed and beat_at >= ${NOW_MS} - ${SHOWN_MS}
order by since, name`

const RESUME = `
with told as (update held_processes set resumed = true where not resumed returning name, since, beat_at)
select name from told where beat_at >= ${NOW_MS} - ${SHOWN_MS} order by since, name`

export function openHolds({ pool }: Database): Store['holds'] {
  return {
    async beat({ id, name }) {
      const { rows } = await pool.query<{ resumed: boolean }>(BEAT, [id, name])
      return { isResumed: rows[0]!.resumed }
    },
    async list() {
      const { rows } = await pool.query<{ name: string; since: number }>(LIST)
      return rows
    },
    async resume() {
      const { rows } = await pool.query<{ name: string }>(RESUME)
      return rows.map(({ name }) => name)
    },
    async leave({ id }) {
      await pool.query('delete from held_processes where id = $1', [id])
    },
  }
}
