import { describe, expect, it } from 'vitest'
import { parseDuration, parseTime } from '../../src/duration.ts'

describe('durations', () => {
  it.each<[string | number, number]>([
    ['30s', 30_000],
    ['24h', 86_400_000],
    ['1h30m', 5_400_000],
    ['1h 30m', 5_400_000],
    ['1.5s', 1500],
    ['250ms', 250],
    ['2d', 172_800_000],
    ['1w', 604_800_000],
    [1500, 1500],
    [0, 0],
    ['0s', 0],
  ])('%s', (written, expected) => {
    expect(parseDuration(written)).toBe(expected)
  })

  it.each([
    '',
    '30',
    's',
    '30 seconds',
    '-5s',
    '1h-30m',
    'soon',
    '1e9s',
    '999999999d',
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
  ])('%s is none', (written) => {
    expect(parseDuration(written)).toBeNull()
  })
})

describe('moments', () => {
  it.each<[string | number, string]>([
    ['2030-01-31T09:00:00Z', '2030-01-31T09:00:00.000Z'],
    ['2030-01-31T09:00:00+02:00', '2030-01-31T07:00:00.000Z'],
    ['2030-01-31T09:00:00+0200', '2030-01-31T07:00:00.000Z'],
    ['2030-01-31T09:00:00', '2030-01-31T09:00:00.000Z'],
    ['2030-01-31 09:00', '2030-01-31T09:00:00.000Z'],
    ['2030-01-31', '2030-01-31T00:00:00.000Z'],
    [0, '1970-01-01T00:00:00.000Z'],
  ])('%s, in UTC unless it says otherwise', (written, expected) => {
    expect(new Date(parseTime(written) as number).toISOString()).toBe(expected)
  })

  it.each(['tomorrow', '2030-13-01', '31.01.2030', '', Number.NaN])('%s is none', (written) => {
    expect(parseTime(written)).toBeNull()
  })
})
