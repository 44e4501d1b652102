/**
 * Messages by correlation: rows that are kept until somebody waits for them, and that stay for a while after that, so
 * that the sender's id counts once.
 *
 * 1. A message is in the inboxes of the runs in `runs`, or it is kept; `give` is the only way from one to the other, in
 *    one transaction, and the row's lock decides between two who want it.
 * 2. A run that refuses it leaves `runs` in the statement that settles its inbox row (append.ts). Whoever refuses last
 *    leaves the message kept and not announced: it is held against the open waits once more.
 * 3. Locks are taken in one order, messages before runs, and `append` locks a message only after it holds a refusal of
 *    it: a message that is in somebody's inbox is not given. So nobody waits in a circle.
 */
import type { Json } from '@weft/engine'
import type { Clock } from '../clock.ts'
import { jsonArray, textArray, uuidArray } from './binary-array.ts'
import { blobHashes } from './blob-refs.ts'
import { pageOf, placeOf } from './cursor.ts'
import type { Database } from './database.ts'
import { sql } from './drizzle.ts'
import type { MessageRow, MessageStore, OpenWait } from './message-store.ts'
import { columnText } from './stored-text.ts'

const COLUMNS =
  'workspace, id, name, correlation_key, data, actor, created_at, expires_at, runs, offers, announced'

const KEEP = `
with kept as (
  insert into messages (workspace, id, uid, name, correlation_key, data, actor, created_at, expires_at)
  values ($1, $2, gen_random_uuid(), $3, $4, $5::json, $6, $7, $8)
  on conflict (workspace, id) do nothing
  returning uid
),
referenced as (
  insert into blob_refs (run_id, workspace, hash)
  select kept.uid, $1, named.hash from kept, unnest($9::text[]) as named (hash)
  on conflict do nothing
)
select uid from kept`

const GET = `select ${COLUMNS} from messages where workspace = $1 and id = $2`

const WAITS = `
select id, run_id, match from waits
where workspace = $1 and name = $2 and closed_at is null and (correlation_key is null or correlation_key = $3)
order by opened_at, id`

const UNANNOUNCED = `
select ${COLUMNS} from messages
where not announced and created_at < $1 and runs = '{}' and expires_at > $2
order by created_at limit $3`

/** A wait with a key reads the index by it; one without looks at every key. */
const KEPT_FOR = (key: string): string => `
select ${COLUMNS} from messages
where workspace = $1 and name = $2 and runs = '{}' and expires_at > $3 ${key}
  and ($5::bigint is null or (created_at, id) > ($5, $6))
order by created_at, id limit $7`
const KEPT_FOR_KEY = KEPT_FOR('and correlation_key = $4')
const KEPT_FOR_ANY = KEPT_FOR('and $4::text is null')

const EXPECTANT = `
select distinct w.run_id from waits w
where w.closed_at is null and (get_byte(uuid_send(w.run_id), 15) & 15) = any($1::int[])
  and case
    when w.correlation_key is null then exists (
      select from messages m
      where m.workspace = w.workspace and m.name = w.name and m.runs = '{}' and m.expires_at > $2)
    else exists (
      select from messages m
      where m.workspace = w.workspace and m.name = w.name and m.correlation_key = w.correlation_key
        and m.runs = '{}' and m.expires_at > $2)
  end
limit $3`

const LIST = `
select ${COLUMNS} from messages
where workspace = $1 and runs = '{}' and expires_at > $2
  and ($3::text is null or name = $3) and ($4::text is null or correlation_key = $4)
  and ($5::bigint is null or (created_at, id) < ($5, $6))
order by created_at desc, id desc limit $7`

const EXPIRE = `
with expired as (
  delete from messages m using (
    select workspace, id from messages
    where expires_at < $1 and created_at < $2
    order by expires_at limit $3
    for update skip locked
  ) old
  where m.workspace = old.workspace and m.id = old.id
  returning m.uid
),
released as (delete from blob_refs where run_id in (select uid from expired))
select count(*)::int as count from expired`

interface Found {
  readonly workspace: string
  readonly id: string
  readonly name: string
  readonly correlation_key: string | null
  readonly data: Json
  readonly actor: string
  readonly created_at: number
  readonly expires_at: number
  readonly runs: string[]
  readonly offers: number
  readonly announced: boolean
}

const messageOf = ({ correlation_key, created_at, expires_at, announced, ...row }: Found): MessageRow => ({
  ...row,
  correlationKey: correlation_key,
  createdAt: created_at,
  expiresAt: expires_at,
  isAnnounced: announced,
})

export function openMessages({ pool, tables }: Database, clock: Clock): MessageStore {
  async function read(text: string, values: unknown[]): Promise<MessageRow[]> {
    const { rows } = await pool.query<Found>({ text, values })
    return rows.map(messageOf)
  }

  async function get({ workspace, id }: { workspace: string; id: string }): Promise<MessageRow | null> {
    const [row] = await read(GET, [workspace, columnText(id)])
    return row ?? null
  }

  return {
    get,

    async keep(message) {
      const { workspace, name, correlationKey, data, actor, createdAt, expiresAt } = message
      const text = JSON.stringify(data)
      const id = columnText(message.id)
      const values = [workspace, id, columnText(name), correlationKey, text, columnText(actor)]
      const more = [createdAt, expiresAt, textArray(blobHashes(data, text))]
      for (;;) {
        const { rowCount } = await pool.query({ text: KEEP, values: [...values, ...more] })
        if (rowCount === 1)
          return { kind: 'kept', message: { ...message, id, runs: [], offers: 0, isAnnounced: false } }
        // Unless it was deleted this very moment.
        const found = await get({ workspace, id })
        if (found) return { kind: 'exists', message: found }
      }
    },

    async waits({ workspace, name, correlationKey }) {
      const { rows } = await pool.query<{ id: string; run_id: string; match: string | null }>({
        text: WAITS,
        values: [workspace, columnText(name), correlationKey],
      })
      return rows.map((row): OpenWait => ({ waitId: row.id, runId: row.run_id, match: row.match }))
    },

    give: ({ workspace, id, to }) =>
      tables.transaction(async (transaction) => {
        const now = clock.now()
        const found = await transaction.execute<Omit<Found, 'data' | 'announced'> & { uid: string }>(sql`
          select uid, name, correlation_key, actor, offers, created_at, expires_at from messages
          where workspace = ${workspace} and id = ${columnText(id)} and runs = '{}' and expires_at > ${now}
          for update`)
        const [message] = found.rows
        if (!message) return { kind: 'not_kept' }
        const command = JSON.stringify({
          kind: 'message',
          messageId: id,
          name: message.name,
          ...(message.correlation_key === null ? {} : { correlationKey: message.correlation_key }),
          ttlMs: Number(message.expires_at) - Number(message.created_at),
        })
        // The data is put into the command as the text that it was stored as (R1).
        const given = await transaction.execute<{ id: string }>(sql`
          with target as (
            select r.id, t.wait_ids
            from unnest(${uuidArray(to.map(({ runId }) => runId))}::uuid[],
              ${jsonArray(to.map(({ waitIds }) => JSON.stringify(waitIds)))}::json[]) as t (run_id, wait_ids)
            join runs r on r.id = t.run_id and r.workspace = ${workspace}
            order by r.id
            for no key update of r
          ),
          given as (
            update messages m
            set runs = (select array_agg(id) from target), offers = m.offers + 1, announced = true
            where m.workspace = ${workspace} and m.id = ${columnText(id)} and exists (select from target)
            returning m.data
          ),
          queued as (
            insert into run_inbox (id, run_id, workspace, created_at, kind, actor, command)
            select target.id || ':message:' || ${message.offers}::int || ':' || ${columnText(id)}::text,
              target.id, ${workspace}, ${now}, 'message', ${message.actor},
              (${command.slice(0, -1)}::text || ',"waitIds":' || target.wait_ids::text
                || ',"data":' || given.data::text || '}')::json
            from target, given
            returning run_id
          ),
          referenced as (
            insert into blob_refs (run_id, workspace, hash)
            select queued.run_id, b.workspace, b.hash
            from queued, blob_refs b where b.run_id = ${message.uid}::uuid
            on conflict do nothing
          )
          update runs r set open_commands = r.open_commands + 1, wake_at = least(r.wake_at, ${now})
          from queued where r.id = queued.run_id
          returning r.id`)
        return { kind: 'given', runs: given.rows.map((row) => row.id) }
      }),

    async announced({ workspace, id, offers }) {
      const { rowCount } = await pool.query(
        `update messages set announced = true where workspace = $1 and id = $2 and offers = $3 and runs = '{}'`,
        [workspace, columnText(id), offers],
      )
      return rowCount === 1
    },

    unannounced: ({ before, limit }) => read(UNANNOUNCED, [before, clock.now(), limit]),

    keptFor: ({ workspace, name, correlationKey, after, limit }) =>
      read(correlationKey === undefined ? KEPT_FOR_ANY : KEPT_FOR_KEY, [
        workspace,
        columnText(name),
        clock.now(),
        correlationKey === undefined ? null : columnText(correlationKey),
        after?.createdAt ?? null,
        after?.id ?? null,
        limit,
      ]),

    async expectant({ partitions, limit }) {
      const { rows } = await pool.query<{ run_id: string }>({
        text: EXPECTANT,
        values: [partitions, clock.now(), limit],
      })
      return rows.map((row) => row.run_id)
    },

    async list({ workspace, name, correlationKey, limit, cursor }) {
      const [createdAt = null, id = null] = cursor === undefined ? [] : placeOf(cursor, ['number', 'string'])
      const filter = [workspace, clock.now(), name ?? null, correlationKey ?? null]
      const rows = await read(LIST, [...filter, createdAt, id, limit + 1])
      return pageOf(rows, limit, (message) => [message.createdAt, message.id])
    },

    async delete({ workspace, id }) {
      const { rowCount } = await pool.query(
        `with deleted as (delete from messages where workspace = $1 and id = $2 and runs = '{}' returning uid),
           released as (delete from blob_refs where run_id in (select uid from deleted))
         select uid from deleted`,
        [workspace, columnText(id)],
      )
      if (rowCount === 1) return 'deleted'
      return (await get({ workspace, id })) ? 'given' : 'not_found'
    },

    async expire({ before, limit }) {
      const { rows } = await pool.query<{ count: number }>(EXPIRE, [clock.now(), before, limit])
      return rows[0]?.count ?? 0
    },
  }
}
