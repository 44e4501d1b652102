/**
 * Functions over time. A time is ISO 8601 text or milliseconds since the epoch; everything is UTC, and `now()` is the
 * time that the caller of the evaluation says (R12).
 */
import type { Json } from '../../json.ts'
import { raise, type Site } from '../problem.ts'
import { type FunctionDefinition, refuse, textArgument } from './definition.ts'

const ISO =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?(Z|z|[+-]\d{2}:?\d{2})?)?$/

function parseTime(site: Site, text: string): number {
  const match = ISO.exec(text.trim())
  if (match) {
    const [year, month, day, hour, minute, second] = match.slice(1, 7).map((part) => Number(part ?? 0)) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ]
    const fraction = Math.floor(Number(`0.${match[7] ?? '0'}`) * 1000)
    const date = new Date(0)
    date.setUTCFullYear(year, month - 1, day)
    const exists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day
    if (exists && hour < 24 && minute < 60 && second < 60) {
      return date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 + fraction - offsetMs(match[8])
    }
  }
  return raise(
    site,
    '`parseTime` needs ISO 8601 text of a time that exists, such as `2026-03-01`, `2026-03-01T09:30:00Z` or `2026-03-01T09:30:00+02:00`.',
    [text],
  )
}

function offsetMs(zone: string | undefined): number {
  if (!zone || zone === 'Z' || zone === 'z') return 0
  const digits = zone.slice(1).replace(':', '')
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))
  return (zone[0] === '-' ? -minutes : minutes) * 60_000
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]

const padded = (value: number, width: number): string => String(value).padStart(width, '0')

const FIELDS: Readonly<Record<string, (date: Date) => string>> = {
  yyyy: (date) => padded(date.getUTCFullYear(), 4),
  yy: (date) => padded(date.getUTCFullYear() % 100, 2),
  MMMM: (date) => MONTHS[date.getUTCMonth()] as string,
  MMM: (date) => (MONTHS[date.getUTCMonth()] as string).slice(0, 3),
  MM: (date) => padded(date.getUTCMonth() + 1, 2),
  M: (date) => String(date.getUTCMonth() + 1),
  dd: (date) => padded(date.getUTCDate(), 2),
  d: (date) => String(date.getUTCDate()),
  EEEE: (date) => DAYS[date.getUTCDay()] as string,
  EEE: (date) => (DAYS[date.getUTCDay()] as string).slice(0, 3),
  HH: (date) => padded(date.getUTCHours(), 2),
  H: (date) => String(date.getUTCHours()),
  mm: (date) => padded(date.getUTCMinutes(), 2),
  ss: (date) => padded(date.getUTCSeconds(), 2),
  SSS: (date) => padded(date.getUTCMilliseconds(), 3),
}

function formatTime(site: Site, values: readonly Json[]): string {
  const moment = values[0] as Json
  const ms = typeof moment === 'string' ? parseTime(site, moment) : moment
  if (typeof ms !== 'number') return refuse(site, 'formatTime', values, 0, 'milliseconds or ISO 8601 text')
  const date = new Date(ms)
  if (Number.isNaN(date.getTime()))
    raise(site, '`formatTime` got milliseconds outside the range of dates.', values)
  if (values.length === 1) return date.toISOString()
  const pattern = textArgument(site, 'formatTime', values, 1)
  if (pattern.length > 200) refuse(site, 'formatTime', values, 1, 'a pattern of at most 200 characters')
  return pattern.replace(/'((?:[^']|'')*)'|([A-Za-z])\2*/g, (token, quoted: string | undefined) => {
    if (quoted !== undefined) return quoted === '' ? "'" : quoted.replaceAll("''", "'")
    const field = Object.hasOwn(FIELDS, token) ? FIELDS[token] : undefined
    if (field) return field(date)
    return raise(
      site,
      `\`formatTime\` does not know \`${token}\`. Known are ${Object.keys(FIELDS).join(' ')}; put other letters between single quotes.`,
      values,
    )
  })
}

export const TIME_FUNCTIONS: readonly FunctionDefinition[] = [
  {
    name: 'now',
    kind: 'function',
    signature: 'now()',
    description: 'The time of the evaluation as ISO 8601 text, in UTC with milliseconds.',
    example: 'now()',
    arity: [0, 0],
    method: false,
    call: (machine) => new Date(machine.now).toISOString(),
  },
  {
    name: 'parseTime',
    kind: 'function',
    signature: 'text.parseTime()',
    description:
      'ISO 8601 text as milliseconds since the epoch, to calculate with; without a zone it is UTC. `formatTime` turns them back.',
    example: 'formatTime(parseTime("2026-03-01T09:30:00+02:00") + 60000)',
    result: '2026-03-01T07:31:00.000Z',
    arity: [1, 1],
    method: true,
    call: (_, site, values) => parseTime(site, textArgument(site, 'parseTime', values, 0)),
  },
  {
    name: 'formatTime',
    kind: 'function',
    signature: 'time.formatTime(pattern?)',
    description:
      'Milliseconds or ISO 8601 text as ISO 8601 text, or by a pattern of `yyyy yy MMMM MMM MM M dd d EEEE EEE HH H mm ss SSS` with other letters between single quotes; in UTC.',
    example: `formatTime("2026-03-01T09:30:00Z", "EEE, d MMM yyyy 'at' HH:mm")`,
    result: 'Sun, 1 Mar 2026 at 09:30',
    arity: [1, 2],
    method: true,
    call: (machine, site, values) => {
      machine.spend(1, site)
      return formatTime(site, values)
    },
  },
]
