/**
 * Where the tour is written: headings, paragraphs, pictures that move, questions answered by a key.
 *
 * Owns the terminal while the tour plays, raw input included. Without a terminal it writes plain lines and asks nothing.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { createPaint, type Paint, widthOf } from '../../server/src/cli/paint.ts'
import { openScreen, type Screen } from '../../server/src/cli/screen.ts'
import { systemClock } from '../../server/src/clock.ts'

const MAX_WIDTH = 96

export class Paper {
  readonly paint: Paint
  readonly isColoured: boolean
  /** Whether what was written can be drawn over, and keys can be read. */
  readonly isTerminal: boolean
  readonly #onInterrupt: () => void

  constructor(onInterrupt: () => void) {
    this.isTerminal = process.stdout.isTTY === true && process.stdin.isTTY === true
    this.isColoured = this.isTerminal && !process.env.NO_COLOR && process.env.TERM !== 'dumb'
    this.paint = createPaint(this.isColoured)
    this.#onInterrupt = onInterrupt
  }

  /** Without a terminal nothing is broken into lines: what is written is read by programs. */
  get width(): number {
    if (!this.isTerminal) return Number.POSITIVE_INFINITY
    return Math.min((process.stdout.columns || 80) - 1, MAX_WIDTH)
  }

  line(text = ''): void {
    process.stdout.write(`${text === '' ? '' : `  ${text}`}\n`)
  }

  heading(text: string, sentence: string): void {
    this.line()
    this.line(this.paint('bold', text))
    this.paragraph(sentence, 'dim')
    this.line()
  }

  paragraph(text: string, colour?: 'dim' | 'green' | 'red'): void {
    for (const line of wrap(text, this.width - 2)) this.line(colour ? this.paint(colour, line) : line)
  }

  quotation(text: string): void {
    for (const line of wrap(text, this.width - 4)) this.line(`${this.paint('cyan', '▌')} ${line}`)
  }

  /** Opens a picture that is drawn over and over until it is closed. */
  picture(draw: (width: number) => readonly string[]): Screen {
    return openScreen(process.stdout, systemClock(), ({ width }) =>
      draw(Math.min(width, MAX_WIDTH)).map((line) => (line === '' ? '' : ` ${line}`)),
    )
  }

  /** Reads keys from now on, so that none appears among the pictures; answers how to stop that. */
  holdKeys(): () => void {
    if (!this.isTerminal) return () => {}
    const interrupt = (bytes: Buffer) => {
      if (bytes.includes(3)) this.#onInterrupt()
    }
    process.stdin.setRawMode(true).on('data', interrupt).resume()
    return () => void process.stdin.off('data', interrupt).setRawMode(false).pause()
  }

  /** Resolves to the first of these keys that is pressed. */
  key<const Key extends string>(...keys: Key[]): Promise<Key> {
    return new Promise((resolve) => {
      const read = (bytes: Buffer) => {
        const key = keys.find((candidate) => bytes.toString().toLowerCase().includes(candidate))
        if (key === undefined) return
        process.stdin.off('data', read)
        resolve(key)
      }
      process.stdin.on('data', read)
    })
  }

  /** A moment to read what was written. */
  async rest(ms = 1_200): Promise<void> {
    if (this.isTerminal) await pause(ms)
  }
}

/** Lines of at most `width` columns, broken between words. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)
    if (last !== undefined && widthOf(last) + 1 + widthOf(word) <= width)
      lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}
