/** Node types, blobs, figures for `doctor`, health. */
import type { RunStatus } from '@weft/engine'
import { listQueues } from '../../queues.ts'
import type { Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import type { HandlerParts } from '../parts.ts'

/** Unfinished, and not paused. */
const GOING_ON: readonly RunStatus[] = ['queued', 'running', 'waiting', 'stopping']

export function opsHandlers(
  parts: HandlerParts,
): Handlers<
  | 'listNodeTypes'
  | 'listWorkers'
  | 'listQueues'
  | 'getBlob'
  | 'about'
  | 'resumeAll'
  | 'health'
  | 'ready'
  | 'metrics'
> {
  const { store, transport, clock, settings, nodeTypes, metrics, health } = parts

  return {
    async listNodeTypes() {
      const served = await nodeTypes.served()
      const items = [...nodeTypes.current().values()].map((type) => ({
        ...type,
        served: type.kind === 'control' || served.has(type.type),
      }))
      return { status: 200, body: { items, nextCursor: null } }
    },
    async listWorkers({ principal }) {
      const items = await store.workers.list({ workspace: principal.workspace })
      return { status: 200, body: { items, nextCursor: null } }
    },
    async listQueues() {
      return { status: 200, body: { items: await listQueues(parts), nextCursor: null } }
    },
    async getBlob({ principal, params }) {
      const { hash } = params
      const blob = /^sha256:[0-9a-f]{64}$/.test(hash)
        ? await store.blobs.get({ workspace: principal.workspace, hash })
        : null
      if (!blob)
        throw ApiError.of(
          'blob_not_found',
          `This workspace has no blob \`${hash}\`. Blobs are named \`sha256:\` and 64 hexadecimal digits, and go with the runs that name them.`,
        )
      const headers = {
        'content-type': blob.contentType,
        // The bytes are a step's output, so possibly anybody's page: never run it with this origin.
        'content-security-policy': 'sandbox',
        'x-content-type-options': 'nosniff',
        'cache-control': 'private, max-age=31536000, immutable',
      }
      return { status: 200, body: blob.bytes, headers }
    },
    async about() {
      const [database, runs, coordinators, held, lanes] = await Promise.all([
        store.describe(),
        store.runs.counts(),
        store.coordinators.list(),
        store.holds.list(),
        listQueues(parts).catch(() => []), // what is wrong with it stands under /readyz
      ])
      return {
        status: 200,
        body: {
          version: settings.version,
          postgres: { version: database.version, settings: database.settings },
          clockOffsetMs: Math.round(database.nowMs - clock.now()),
          runs,
          transport: transport.kind,
          coordinators: coordinators.map(({ name, partitions, leaving, silentMs }) => ({
            name,
            partitions: [...partitions],
            leaving,
            silentMs,
          })),
          held,
          lanes,
        },
      }
    },
    async resumeAll() {
      const resumed = await store.holds.resume()
      const { byStatus } = await store.runs.counts()
      const runs = GOING_ON.reduce((sum, status) => sum + (byStatus[status] ?? 0), 0)
      return { status: 200, body: { resumed, runs: resumed.length === 0 ? 0 : runs } }
    },
    health: () => ({ status: 200, body: health.live() }),
    async ready() {
      const body = await health.ready(parts.stopping.aborted)
      return { status: body.status === 'not_ready' ? 503 : 200, body }
    },
    async metrics() {
      return { status: 200, body: await metrics.text(), headers: { 'content-type': metrics.contentType } }
    },
  }
}
