/**
 * The nearest valid name, for every message of the form "Did you mean …?".
 *
 * Owns: how far a name may be from what was written to be worth proposing. Proposes nothing rather than something
 * silly: a wrong guess costs a reader more than none.
 */

/**
 * The candidate nearest to `name`: within two edits, or a third of a long name's length; one edit for names of up to
 * three letters. A swap of neighbours is one edit, and letter case counts for nothing. Ties go to the first candidate.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = name.toLowerCase()
  let best: string | undefined
  let bestDistance = (name.length <= 3 ? 1 : Math.max(2, Math.floor(name.length / 3))) + 1
  for (const candidate of candidates) {
    if (candidate === name) continue
    const distance = editDistance(wanted, candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Optimal string alignment; gives up with `limit` as soon as the distance cannot be smaller. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    let smallest = row
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let distance = Math.min(
        (previous[column] as number) + 1,
        (current[column - 1] as number) + 1,
        (previous[column - 1] as number) + (same ? 0 : 1),
      )
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, (beforePrevious[column - 2] as number) + 1)
      }
      current.push(distance)
      smallest = Math.min(smallest, distance)
    }
    if (smallest >= limit) return limit
    beforePrevious = previous
    previous = current
  }
  return Math.min(previous[b.length] as number, limit)
}

const LISTED_NAMES = 12

/** "`a`, `b` and 7 more", bounded, for messages that say what exists. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, LISTED_NAMES).map((name) => `\`${shorten(name)}\``)
  const rest = names.length - shown.length
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ')
}

/** Keys come from data of any length; a message stays readable. */
export const shorten = (text: string, length = 60): string =>
  text.length <= length ? text : `${text.slice(0, length - 1)}…`
