/** Node types, blobs, figures for `doctor`, health. */
import type { Handlers } from '../call.ts'
import { ApiError } from '../errors.ts'
import type { HandlerParts } from '../parts.ts'

const READY_TIMEOUT_MS = 2_000

export function opsHandlers(
  parts: HandlerParts,
): Handlers<'listNodeTypes' | 'getBlob' | 'about' | 'health' | 'ready' | 'metrics'> {
  const { store, transport, clock, settings, nodeTypes, metrics } = parts

  async function check(work: () => Promise<unknown>) {
    const startedAt = clock.monotonic()
    const slow = new Promise<never>((_, reject) => {
      clock.after(READY_TIMEOUT_MS, () => reject(new Error(`no answer within ${READY_TIMEOUT_MS} ms`)))
    })
    const error = await Promise.race([work(), slow]).then(
      () => undefined,
      (reason: unknown) => (reason instanceof Error ? reason.message : String(reason)),
    )
    const ms = Math.round((clock.monotonic() - startedAt) * 10) / 10
    return error === undefined ? { ok: true, ms } : { ok: false, ms, error }
  }

  return {
    listNodeTypes() {
      const served = nodeTypes.served()
      const items = [...nodeTypes.current().values()].map((type) => ({
        ...type,
        served: type.kind === 'control' || served.has(type.type),
      }))
      return { status: 200, body: { items, nextCursor: null } }
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
      const [database, runs, lanes] = await Promise.all([
        store.describe(),
        store.runs.counts(),
        transport.tasks.depth(),
      ])
      return {
        status: 200,
        body: {
          version: settings.version,
          postgres: { version: database.version, settings: database.settings },
          clockOffsetMs: Math.round(database.nowMs - clock.now()),
          runs,
          transport: transport.kind,
          lanes,
        },
      }
    },
    health: () => ({ status: 200, body: { status: 'ok', version: settings.version } }),
    async ready() {
      const [database, lanes] = await Promise.all([
        check(() => store.ping()),
        check(() => transport.tasks.depth()),
      ])
      const trouble = parts.trouble()
      const runs = trouble === null ? { ok: true } : { ok: false, error: trouble }
      const isReady = database.ok && lanes.ok && runs.ok && !parts.stopping.aborted
      return {
        status: isReady ? 200 : 503,
        body: { status: isReady ? 'ready' : 'not_ready', dependencies: { database, transport: lanes, runs } },
      }
    },
    async metrics() {
      return { status: 200, body: await metrics.text(), headers: { 'content-type': metrics.contentType } }
    },
  }
}
