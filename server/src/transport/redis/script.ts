/**
 * Lua scripts: each a file in `scripts/`, run by its hash, and sent whole only when the server does not know it (it was
 * restarted, or its scripts were flushed). One script is one step: nobody sees half of it.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'

const textOf = (name: string): string =>
  readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8')

const PRELUDE = textOf('prelude')

type Argument = string | number

export class Script {
  readonly #text: string
  readonly #hash: string

  /** `name`: of the file, without its ending. */
  constructor(name: string) {
    this.#text = `${PRELUDE}\n${textOf(name)}`
    this.#hash = createHash('sha1').update(this.#text).digest('hex')
  }

  async run(redis: Redis, args: readonly Argument[]): Promise<unknown> {
    try {
      return await redis.evalsha(this.#hash, 0, ...args)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return redis.eval(this.#text, 0, ...args)
    }
  }
}
