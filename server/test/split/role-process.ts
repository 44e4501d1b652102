/**
 * One `weft serve` with a part of the roles, in a process of its own. Without the api role it says nothing about itself
 * in its data directory: it is ready when its own port says so.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as pause } from 'node:timers/promises'
import { CLI } from '../../../examples/runner/server-process.ts'

const READY_WITHIN_MS = 120_000
const LOOK_EVERY_MS = 10
const KEPT_OUTPUT_CHARACTERS = 4_000

const running = new Set<ChildProcess>()
// Whoever started them and is ended before it could end them (Ctrl-C) leaves nothing behind.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export interface RoleProcessOptions {
  readonly dataDirectory: string
  /** Of the API, or of health and metrics. */
  readonly port: number
  readonly environment: Readonly<Record<string, string>>
  /** Another one than that of this repository. */
  readonly program?: string
}

export class RoleProcess {
  readonly url: string
  readonly dataDirectory: string
  readonly #environment: Readonly<Record<string, string>>
  #child: ChildProcess | null = null
  #ended: Promise<number | null> = Promise.resolve(null)
  readonly #program: string
  #output = ''
  #warnings = ''

  constructor({ dataDirectory, port, environment, program = CLI }: RoleProcessOptions) {
    this.url = `http://127.0.0.1:${port}`
    this.dataDirectory = dataDirectory
    this.#environment = environment
    this.#program = program
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Resolves to the milliseconds until `/readyz` said yes. */
  async start(): Promise<number> {
    const begun = performance.now()
    this.#warnings = ''
    const child = spawn(process.execPath, [this.#program, 'serve'], {
      cwd: this.dataDirectory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH ?? '',
        HOME: this.dataDirectory,
        WEFT_DATA_DIR: this.dataDirectory,
        WEFT_LOG_LEVEL: 'warn',
        ...this.#environment,
      },
    })
    this.#child = child
    running.add(child)
    this.#ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    let isOver = false
    void this.#ended.then(() => {
      isOver = true
      running.delete(child)
    })
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-KEPT_OUTPUT_CHARACTERS)
        if (stream === child.stderr) this.#warnings = (this.#warnings + text).slice(-KEPT_OUTPUT_CHARACTERS)
      })
    while (!(await isReady(`${this.url}/readyz`)) || isOver) {
      if (isOver || performance.now() - begun > READY_WITHIN_MS)
        throw new Error(`weft serve did not become ready (exit code ${child.exitCode}):\n${this.#output}`)
      await pause(LOOK_EVERY_MS)
    }
    return performance.now() - begun
  }

  /** Resolves to the exit code when the process has ended, by itself or not. */
  ended(): Promise<number | null> {
    return this.#ended
  }

  /** The end of what it printed. */
  get output(): string {
    return this.#output
  }

  /** The end of what it complained about since its start: log lines of the level `warn` and above, and what Node says. */
  get warnings(): string {
    return this.#warnings
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null> {
    return this.#end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child?.kill(signal)
    const code = await this.#ended
    this.#child = null
    return code
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url)
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}
