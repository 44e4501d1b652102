/**
 * Colour and width for terminals. Text from workflows passes through `plain`: a step's output must not be able to move
 * the cursor or change the title of somebody's terminal.
 */
export type Colour = 'green' | 'red' | 'yellow' | 'blue' | 'magenta' | 'cyan' | 'dim' | 'bold'

const CODES: Readonly<Record<Colour, readonly [number, number]>> = {
  green: [32, 39],
  red: [31, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
  dim: [2, 22],
  bold: [1, 22],
}

/** A piece of a line: colour is applied after the line was cut to its width. */
export interface Piece {
  readonly text: string
  readonly colour?: Colour
}

export type Paint = (colour: Colour, text: string) => string

export const createPaint =
  (isColoured: boolean): Paint =>
  (colour, text) => {
    if (!isColoured || text === '') return text
    const [open, close] = CODES[colour]
    return `\u001b[${open}m${text}\u001b[${close}m`
  }

/** Control characters, and those that turn the direction of writing around. */
const UNSAFE = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** One line of text in which every control character is visible and harmless. */
export const plain = (text: string): string => text.replace(/\s*[\r\n]+\s*/g, ' ').replace(UNSAFE, '·')

/** JSON in which what a terminal would obey is escaped, as `JSON.stringify` does for the ASCII part of it. */
export const jsonText = (value: unknown): string =>
  JSON.stringify(value, null, 2).replace(
    /[\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}]/u

/** Columns that the text takes. */
export function widthOf(text: string): number {
  let width = 0
  for (const character of text) width += WIDE.test(character) ? 2 : 1
  return width
}

export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text
  let result = ''
  let used = 0
  for (const character of text) {
    const next = WIDE.test(character) ? 2 : 1
    if (used + next > width - 1) break
    result += character
    used += next
  }
  return width > 0 ? `${result}…` : ''
}

export const pad = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - widthOf(text)))

/** The line as it is written: cut to `width` columns, coloured, without trailing blanks. */
export function joinPieces(pieces: readonly Piece[], width: number, paint: Paint): string {
  let left = width
  let result = ''
  for (const { text, colour } of pieces) {
    if (left <= 0) break
    const fitting = cut(text, left)
    left -= widthOf(fitting)
    result += colour ? paint(colour, fitting) : fitting
  }
  return result.trimEnd()
}

/** `31 ms`, `1.31 s`, `12.4 s`, `3m 05s`, `2h 10m`. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 10_000) return `${(ms / 1000).toFixed(2).replace(/0$/, '')} s`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  const two = (value: number) => String(value).padStart(2, '0')
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${two(Math.floor(seconds / 60) % 60)}m`
  return `${Math.floor(seconds / 86_400)}d ${two(Math.floor(seconds / 3600) % 24)}h`
}

/** Whole seconds until something happens. */
export const countdownText = (ms: number): string =>
  ms < 60_000 ? `${Math.max(0, Math.ceil(ms / 1000))} s` : durationText(ms)

/** Columns as wide as their widest cell; the last one is cut to the terminal. */
export function table(rows: readonly (readonly Piece[])[], width: number, paint: Paint): string[] {
  const widths: number[] = []
  for (const row of rows)
    row.forEach((cell, index) => {
      widths[index] = Math.max(widths[index] ?? 0, widthOf(cell.text))
    })
  return rows.map((row) =>
    joinPieces(
      row.map((cell, index) => ({
        ...cell,
        text: index === row.length - 1 ? cell.text : `${pad(cell.text, widths[index] as number)}  `,
      })),
      width,
      paint,
    ),
  )
}
