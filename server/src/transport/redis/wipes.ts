/**
 * Notices that what the lanes held is gone: somebody emptied the Redis, it was restarted without its data, or another
 * server took its place (its `master_replid` is another one) and may lack what was written last.
 *
 * Looks once a second, and at once after each reconnection. It tells; what follows is the owners' (R5).
 */
import type { Clock } from '../../clock.ts'
import type { Log } from '../../log.ts'
import type { Keys } from './keys.ts'
import { fieldsOf, type Link } from './link.ts'
import { Script } from './script.ts'

const LOOK_EVERY_MS = 1_000
const EPOCH = new Script('epoch')

export class Wipes {
  readonly #parts: { readonly link: Link; readonly keys: Keys; readonly clock: Clock; readonly log: Log }
  readonly #listeners = new Set<() => void>()
  #known: string | null = null
  #looking: Promise<void> | null = null
  #isOnline = true
  #withdraw: () => void = () => {}
  #isClosed = false

  constructor(parts: { link: Link; keys: Keys; clock: Clock; log: Log }) {
    this.#parts = parts
    parts.link.commands.on('ready', () => void this.look())
  }

  on(listener: () => void): () => void {
    const own = (): void => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  /** The first look; from then on by itself. */
  async start(): Promise<void> {
    await this.look()
    this.#later()
  }

  /** One look; while one is under way, the same. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  close(): void {
    this.#isClosed = true
    this.#withdraw()
    this.#listeners.clear()
  }

  #later(): void {
    this.#withdraw = this.#parts.clock.after(LOOK_EVERY_MS, () => {
      void this.look().then(() => {
        if (!this.#isClosed) this.#later()
      })
    })
  }

  async #look(): Promise<void> {
    const { link, keys, clock, log } = this.#parts
    let found: string
    try {
      const [epoch, info] = await link.call((redis) =>
        Promise.all([EPOCH.run(redis, [keys.prefix, clock.token(12)]), redis.info('replication')]),
      )
      found = `${String(epoch)} ${fieldsOf(info).get('master_replid') ?? ''}`
    } catch (error) {
      if (this.#isOnline && !this.#isClosed) log.warn({ error }, 'Redis does not answer; trying again')
      this.#isOnline = false
      return
    }
    if (!this.#isOnline) log.info({}, 'Redis answers again')
    this.#isOnline = true
    const known = this.#known
    this.#known = found
    if (known === null || known === found) return
    log.warn({}, 'Redis was emptied or replaced: what is owed is published again')
    for (const listener of this.#listeners) listener()
  }
}
