/**
 * The server of the examples and the tour: it writes its log into the data directory, and ends when this process does.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '../../server/src/cli/client.ts'
import { readApiKey } from '../../server/src/server-file.ts'
import { CLI, ServerProcess } from './server-process.ts'

export { WeftDidNotStart } from './server-process.ts'

const END_WITH_PARENT = join(import.meta.dirname, 'end-with-parent.ts')

export interface WeftProcessOptions {
  readonly dataDirectory: string
  /** The whole environment of the server, `WEFT_…` included. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

export class WeftProcess extends ServerProcess {
  readonly logFile: string
  readonly #environment: WeftProcessOptions['environment']
  #logStart = 0
  #client: Client | undefined

  constructor({ dataDirectory, environment }: WeftProcessOptions) {
    super(dataDirectory)
    this.#environment = environment
    this.logFile = join(dataDirectory, 'weft.log')
  }

  override async start(): Promise<number> {
    const readyAfterMs = await super.start()
    this.#client = new Client({ url: this.address as string, apiKey: await readApiKey(this.dataDirectory) })
    return readyAfterMs
  }

  protected override spawn(): ChildProcess {
    mkdirSync(this.dataDirectory, { recursive: true, mode: 0o700 })
    const log = openSync(this.logFile, 'a', 0o600)
    this.#logStart = statSync(this.logFile).size
    const child = spawn(process.execPath, ['--import', END_WITH_PARENT, CLI, 'serve'], {
      env: { ...this.#environment, ...this.#samePort(), WEFT_DATA_DIR: this.dataDirectory },
      stdio: ['pipe', log, log],
      // Not in the terminal's group: Ctrl-C reaches the supervisor alone, which ends the others in order.
      detached: true,
    })
    closeSync(log)
    return child
  }

  protected override said(): string {
    return readFileSync(this.logFile).subarray(this.#logStart).toString().trim()
  }

  /** Started again, the server answers where it did before, whatever port it had found. */
  #samePort(): { WEFT_PORT?: string } {
    return this.address === null ? {} : { WEFT_PORT: new URL(this.address).port }
  }

  /** The API of the server, once it has started. */
  get client(): Client {
    if (this.#client === undefined) throw new Error('Weft has not been started')
    return this.#client
  }
}
