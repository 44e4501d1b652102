/** What is running, in the order in which it started; stops the other way round. */
import type { Log } from './log.ts'
import type { Service } from './service.ts'

export class Started {
  readonly #log: Log
  readonly #stops: { readonly name: string; readonly stop: () => unknown }[] = []
  #stopping: Promise<void> | null = null

  constructor(log: Log) {
    this.#log = log
  }

  add(name: string, stop: () => unknown): void {
    this.#stops.push({ name, stop })
  }

  async start(service: Service): Promise<void> {
    // Also one that fails to start may hold something.
    this.add(service.name, () => service.stop())
    await service.start()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll()
    return this.#stopping
  }

  async #stopAll(): Promise<void> {
    for (const { name, stop } of this.#stops.reverse()) {
      try {
        await stop()
      } catch (error) {
        this.#log.error({ error }, `${name} did not stop cleanly`)
      }
    }
  }
}
