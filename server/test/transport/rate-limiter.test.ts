import { memoryRateLimiter } from '../../src/transport/rate-limiter.ts'
import { rateLimiterSuite } from '../suites/rate-limiter.ts'

rateLimiterSuite('memory', () => {
  let now = 5_000
  const limiter = memoryRateLimiter({ clock: { monotonic: () => now } })
  const pass = (ms: number): void => {
    now += ms
  }
  return { limiter, pass }
})
