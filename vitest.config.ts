import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: [
      'engine/test/**/*.test.ts',
      'server/test/**/*.test.ts',
      'sim/test/**/*.test.ts',
      'examples/**/*.test.ts',
      'test/**/*.test.ts',
    ],
    testTimeout: 60_000, // the hang guard; no test waits by time
    hookTimeout: 60_000,
    globalSetup: ['server/test/global-redis.ts', 'server/test/global-postgres.ts'],
    pool: 'forks',
    maxWorkers: 2,
  },
})
