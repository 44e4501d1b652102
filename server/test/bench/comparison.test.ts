import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { chartOf } from '../../../bench/chart.ts'
import { type Comparison, type Contender, contender } from '../../../bench/compare.ts'
import { comparisonTable } from '../../../bench/report.ts'

const measured = (runsPerSecond: number, idleMs: number) => ({
  figures: {
    runsPerSecond50: runsPerSecond / 2,
    runsPerSecond200: runsPerSecond,
    idleP50Ms: idleMs,
    idleP99Ms: idleMs * 3,
  },
  version: '1.0.0',
  durability: 'fsync & commit',
  tuning: 'as it comes',
})

function comparison(contenders: Record<string, Contender>): Comparison {
  return { rounds: 3, contenders, skipped: { bullmq: 'there is no <redis>' }, servers: { redis: 'none' } }
}

test('a figure is the median of its rounds, so that one disturbed round changes nothing', () => {
  const { figures } = contender('dbos', [measured(200, 9), measured(10, 900), measured(220, 8)])
  expect(figures).toEqual({ runsPerSecond50: 100, runsPerSecond200: 200, idleP50Ms: 9, idleP99Ms: 27 })
})

test('a peer that stays far below what it is known to reach is not counted as beaten', () => {
  expect(contender('restate', [measured(300, 9)]).isTrusted).toBe(true)
  expect(contender('restate', [measured(150, 9)]).isTrusted).toBe(false)
  expect(contender('restate', [measured(300, 40)]).isTrusted).toBe(false)
})

test('the table says how many times as good Weft is, and why a peer is missing', () => {
  const table = comparisonTable(
    comparison({
      weft: contender('weft', [measured(1_000, 3)]),
      dbos: contender('dbos', [measured(250, 9)]),
    }),
  )
  expect(table).toMatch(/DBOS Transact .* 250 runs\/s\s+4\.0×\s+9\.0 ms\s+3\.0×/)
  expect(table).toContain('MISSING  bullmq: there is no <redis>')
})

test('the chart says in words what it shows, and escapes what it is told', () => {
  const chart = chartOf({
    date: '2026-11-21',
    machine: { cpu: 'A & B <C>', cores: 2 },
    postgres: '18.4',
    comparison: comparison({
      weft: contender('weft', [measured(1_000, 3)]),
      bullmq: contender('bullmq', [measured(900, 4)]),
    }),
  })
  expect(chart).toContain('role="img"')
  expect(chart).toMatch(/<desc[^>]*>.*Weft 1,000 runs\/s, BullMQ flows 900 runs\/s.*Weft 3\.0 ms/s)
  expect(chart).toContain('A &amp; B &lt;C>')
  expect(chart).not.toContain('A & B')
})

test('the lock file of the peers names no registry', () => {
  const lock = readFileSync(new URL('../../../bench/peers/package-lock.json', import.meta.url), 'utf8')
  expect(lock).not.toMatch(/"resolved"|https?:\/\/registry/)
})
