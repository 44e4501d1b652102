/** Durations and moments as authors write them. */

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/** What may stand behind a number; for messages. */
export const DURATION_FORMS = '30s, 5m, 24h, 1h30m, 7d or a number of milliseconds'

/** A hundred years: longer is a mistake, and stays far below what a date can express. */
const MAX_DURATION_MS = 100 * 365 * 86_400_000

const WHOLE = /^(?:\d+(?:\.\d+)?\s*(?:ms|[smhdw])\s*)+$/
const PART = /(\d+(?:\.\d+)?)\s*(ms|[smhdw])/g

/** Milliseconds, rounded; `null` for what is no duration. A bare number is milliseconds, text needs its units. */
export function parseDuration(value: string | number): number | null {
  if (typeof value === 'number') return inRange(value)
  const text = value.trim()
  // The pattern reads each digit once per part; a bound keeps even that short.
  if (text.length > 100 || !WHOLE.test(text)) return null
  let total = 0
  for (const [, amount, unit] of text.matchAll(PART))
    total += Number(amount) * (UNIT_MS[unit as string] as number)
  return inRange(total)
}

const inRange = (ms: number): number | null => (ms >= 0 && ms <= MAX_DURATION_MS ? Math.round(ms) : null)

const ISO_TIME = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(:\d{2}(?:\.\d{1,9})?)?\s*(Z|[+-]\d{2}:?\d{2})?)?$/i

/**
 * Milliseconds since 1970 of an ISO 8601 date and time, or of such a number. Without a zone it is UTC: what a workflow
 * means must not depend on the machine that runs it (R12).
 */
export function parseTime(value: string | number): number | null {
  if (typeof value === 'number') return Number.isFinite(value) && Math.abs(value) <= 8.64e15 ? value : null
  const found = ISO_TIME.exec(value.trim())
  if (!found) return null
  const [, date, minutes = '00:00', seconds = ':00', zone = 'Z'] = found
  const offset = zone.length === 5 ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone.toUpperCase()
  const at = Date.parse(`${date}T${minutes}${seconds}${offset}`)
  return Number.isNaN(at) ? null : at
}
