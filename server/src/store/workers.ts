/** Who performs attempts: signs of life by the database's clock, so that every process sees the same workers. */
import { jsonArray, textArray } from './binary-array.ts'
import type { Database } from './database.ts'
import type { Store, WorkerRow } from './store.ts'

const NOW_MS = '(extract(epoch from clock_timestamp()) * 1000)::bigint'

/** Rows in the order of their ids: two processes that beat for the same programs cannot lock each other out. */
const BEAT = `
with gone as (delete from workers where expires_at < ${NOW_MS} and id <> all($1))
insert into workers (id, name, kind, workspace, types, started_at, beat_at, expires_at)
select id, name, kind, workspace, types, ${NOW_MS}, ${NOW_MS}, ${NOW_MS} + lives_ms
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::json[], $6::int[])
  as w (id, name, kind, workspace, types, lives_ms)
order by id
on conflict (id) do update
  set types = excluded.types, beat_at = excluded.beat_at, expires_at = excluded.expires_at`

const LIST = `
select id, name, kind, types, started_at, beat_at
from workers
where expires_at >= ${NOW_MS} and (workspace is null or workspace = $1)
order by name, id`

interface Row {
  readonly id: string
  readonly name: string
  readonly kind: WorkerRow['kind']
  readonly types: WorkerRow['types']
  readonly started_at: number
  readonly beat_at: number
}

export function openWorkers({ pool }: Database): Store['workers'] {
  return {
    async beat({ workers }) {
      if (workers.length === 0) return
      const unique = [...new Map(workers.map((worker) => [worker.id, worker])).values()]
      await pool.query(BEAT, [
        textArray(unique.map(({ id }) => id)),
        textArray(unique.map(({ name }) => name)),
        textArray(unique.map(({ kind }) => kind)),
        unique.map(({ workspace }) => workspace),
        jsonArray(unique.map(({ types }) => JSON.stringify(types))),
        unique.map(({ livesMs }) => livesMs),
      ])
    },
    async list({ workspace }) {
      const { rows } = await pool.query<Row>(LIST, [workspace])
      return rows.map(({ id, name, kind, types, started_at, beat_at }) => ({
        id,
        name,
        kind,
        types,
        startedAt: started_at,
        seenAt: beat_at,
      }))
    },
    async leave({ ids }) {
      await pool.query('delete from workers where id = any($1)', [ids])
    },
  }
}
