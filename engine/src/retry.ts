/** When the next attempt starts: exponential, bounded, with a jitter that is a hash of the attempt's name (R12). */
import type { StepError } from './errors.ts'
import type { RetryPolicy } from './node-type.ts'

const JITTER = 0.2
/** The other side may ask for a pause, but not for one that looks like a hang. */
const MAX_RETRY_AFTER_MS = 60 * 60 * 1000

/** A number in [0, 1) that depends on the text alone (FNV-1a). */
export function fraction(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i)
    hash = Math.imul(hash, 0x01000193)
  }
  // A last mix: names differ in their last characters only, which FNV alone hardly spreads.
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  return (hash >>> 0) / 2 ** 32
}

/** @param failures how many attempts counted against the policy so far, the one that just failed included. */
export function retryDelayMs(
  policy: RetryPolicy,
  failures: number,
  error: StepError,
  attemptName: string,
): number {
  const exponential = Math.min(policy.maxDelayMs, policy.delayMs * policy.factor ** (failures - 1))
  const jittered = Math.round(exponential * (1 - JITTER + 2 * JITTER * fraction(attemptName)))
  return Math.max(jittered, Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS))
}
