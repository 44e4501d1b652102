/**
 * What every command works with: the terminal, the clock, the settings it was started with, and a way to a server.
 */
import type { Command } from 'commander'
import type { Clock } from '../clock.ts'
import type { CliEnvironment } from '../config.ts'
import type { Client } from './client.ts'
import { type Connection, connect } from './connect.ts'
import { createPaint, jsonText, type Paint, type Piece, table } from './paint.ts'
import type { ScreenOutput } from './screen.ts'

export interface TerminalOutput extends ScreenOutput {
  readonly isTTY?: boolean
}

export interface Terminal {
  readonly out: TerminalOutput
  readonly err: TerminalOutput
  /** Everything that stands on stdin, as text. */
  readInput(): Promise<string>
}

export interface GlobalOptions {
  readonly url?: string
  readonly apiKey?: string
  readonly json?: boolean
}

export interface CliContext {
  readonly terminal: Terminal
  readonly clock: Clock
  readonly environment: CliEnvironment
}

/** One command as it runs: its options, and its voice. */
export class Session {
  readonly context: CliContext
  readonly isJson: boolean
  readonly paint: Paint
  readonly isColoured: boolean
  /** Whether stdout can be drawn over. */
  readonly isDrawing: boolean
  readonly width: number
  readonly #options: GlobalOptions
  #connection: Promise<Connection> | null = null

  constructor(context: CliContext, options: GlobalOptions) {
    const { out } = context.terminal
    this.context = context
    this.#options = options
    this.isJson = options.json === true
    this.isDrawing = out.isTTY === true && !this.isJson
    this.isColoured = this.isDrawing && !context.environment.noColour
    this.paint = createPaint(this.isColoured)
    this.width = out.isTTY === true ? (out.columns ?? 80) : Number.POSITIVE_INFINITY
  }

  connection(): Promise<Connection> {
    this.#connection ??= connect(this.context, this.#options, (text) => this.notice(text))
    return this.#connection
  }

  async client(): Promise<Client> {
    return (await this.connection()).client
  }

  /** Lets go of the server; ends the engine of this process when there is one. */
  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => null)
    await connection?.close()
  }

  line(text = ''): void {
    this.context.terminal.out.write(`${text}\n`)
  }

  lines(lines: readonly string[]): void {
    for (const line of lines) this.line(line)
  }

  json(value: unknown): void {
    this.line(jsonText(value))
  }

  /** A row for each, or the sentence for when there is none; answers the exit code. */
  list<Item>(
    items: readonly Item[],
    row: (item: Item, now: number) => readonly Piece[],
    whenNone?: string,
  ): number {
    const now = this.context.clock.now()
    if (this.isJson) this.json(items)
    else if (items.length === 0 && whenNone !== undefined) this.notice(whenNone)
    else
      this.lines(
        table(
          items.map((item) => row(item, now)),
          this.width,
          this.paint,
        ),
      )
    return 0
  }

  /** What is said about the work and is not its result. */
  notice(text: string): void {
    this.context.terminal.err.write(`${text}\n`)
  }
}

/** The command's exit code; nothing means 0. */
export type Work<Arguments extends unknown[]> = (
  session: Session,
  ...given: Arguments
) => Promise<number | undefined>

/**
 * An action for commander: gives the work a session, closes it however the work ended, and reports the exit code.
 */
export function action<Arguments extends unknown[]>(
  context: CliContext,
  work: Work<Arguments>,
): (this: Command, ...given: Arguments) => Promise<void> {
  return async function (this: Command, ...given: Arguments) {
    const session = new Session(context, this.optsWithGlobals<GlobalOptions>())
    try {
      process.exitCode = (await work(session, ...given)) ?? 0
    } finally {
      await session.close()
    }
  }
}
