/**
 * The part of a terminal that is drawn over and over: a block of lines at the end of the output.
 *
 * Invariants: what was written before the block stays; the cursor is visible again after `close`, also when the process
 * is interrupted; at most 15 pictures per second.
 */
import type { Clock } from '../clock.ts'

const MIN_FRAME_MS = 67
/** Countdowns and spinners move without news. */
const IDLE_FRAME_MS = 100

export interface ScreenOutput {
  write(text: string): unknown
  readonly columns?: number
  readonly rows?: number
}

export interface Screen {
  /** Something changed: draw soon. */
  refresh(): void
  /** Writes lines above the block, for good. */
  print(lines: readonly string[]): void
  /** Draws the last picture and leaves it there. */
  close(): void
}

export function openScreen(
  output: ScreenOutput,
  clock: Clock,
  picture: (size: { width: number; height: number }) => readonly string[],
): Screen {
  let drawn = 0
  let lastAt = Number.NEGATIVE_INFINITY
  let isOpen = true
  let withdraw: () => void = () => {}
  const size = () => ({
    width: Math.max(20, (output.columns ?? 80) - 1),
    height: Math.max(4, (output.rows ?? 24) - 2),
  })
  const erase = () => (drawn > 0 ? `\u001b[${drawn}A\r\u001b[J` : '')

  function frame(above: readonly string[] = []): void {
    withdraw()
    lastAt = clock.monotonic()
    const lines = picture(size())
    // One write: a terminal that draws between two of them flickers.
    output.write(`${erase()}${[...above, ...lines].map((line) => `${line}\n`).join('')}`)
    drawn = lines.length
    if (isOpen) withdraw = clock.after(IDLE_FRAME_MS, frame)
  }

  output.write('\u001b[?25l')
  frame()
  return {
    refresh() {
      if (!isOpen) return
      const wait = lastAt + MIN_FRAME_MS - clock.monotonic()
      withdraw()
      if (wait <= 0) frame()
      else withdraw = clock.after(wait, frame)
    },
    print: (lines) => frame(lines),
    close() {
      if (!isOpen) return
      isOpen = false
      frame()
      withdraw()
      output.write('\u001b[?25h')
    },
  }
}
