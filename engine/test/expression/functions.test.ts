import { describe, expect, test } from 'vitest'
import { functions } from '../../src/expression/index.ts'
import type { Json } from '../../src/json.ts'
import { failure, NOW, yields } from './scope.ts'

describe('the documented examples are true', () => {
  test.each(functions.map((each) => [each.signature, each] as const))('%s', (_, { example, result }) => {
    const value = yields(example)
    if (result !== undefined) expect(value).toStrictEqual(result)
  })

  test('every function that definitions may use is described', () => {
    const names = functions.map(({ name }) => name)
    const promised =
      'split join replace trim lowerAscii upperAscii contains startsWith matches json toJson base64 sha256 urlEncode now formatTime parseTime round floor ceil abs sum min max avg sort unique flatten groupBy keys values merge size default has all exists exists_one map filter'
    expect(names).toEqual(expect.arrayContaining(promised.split(' ')))
    expect(new Set(names).size).toBe(names.length)
  })
})

const table = (cases: readonly (readonly [string, Json])[]) =>
  test.each(cases)('%s', (source, expected) => expect(yields(source)).toStrictEqual(expected))

describe('text', () => {
  table([
    ['split("a,b", ",")', ['a', 'b']],
    ['"a,b,c".split(",", 2)', ['a', 'b,c']],
    ['"a,b".split(",", 0)', []],
    ['"".split(",")', ['']],
    ['"a😀".split("")', ['a', '😀']],
    ['"abc".split("", 2)', ['a', 'bc']],
    ['[].join(",")', ''],
    ['[1, null, [2], {"a": 1}].join("|")', '1||[2]|{"a":1}'],
    ['"aaa".replace("a", "b", 2)', 'bba'],
    ['"a.b".replace(".", "$&")', 'a$&b'],
    ['"aXbX".replace("X", "")', 'ab'],
    ['"ÄB".lowerAscii()', 'Äb'],
    ['"äb".upperAscii()', 'äB'],
    ['"😀b".substring(1)', 'b'],
    ['"😀b".indexOf("b")', 1],
    ['"abc".indexOf("z")', -1],
    ['"order-7".matches("[0-9]")', true],
    ['"order-7".matches("^[0-9]$")', false],
    ['"a\\nb".matches("^b$")', false],
    ['matches("x" + 1, "x" + "1")', true],
    ['"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab".matches("^(a+)+$")', false],
  ])

  test('what lies outside of the text is a problem', () => {
    expect(failure('"abc".substring(2, 9)').message).toContain('3 characters')
    expect(failure('"abc".replace("", "x")').message).toContain('not empty')
    expect(failure('input.note.trim()').message).toContain('got null')
    expect(failure('"a".matches("(" + "")').message).toContain('not a valid regular expression')
  })
})

describe('numbers', () => {
  table([
    ['round(2.5)', 3],
    ['round(-2.5)', -3],
    ['round(1.005, 2)', 1.01],
    ['round(1234, -2)', 1200],
    ['round(1e300, 100)', 1e300],
    ['max([])', null],
    ['[].sum()', 0],
    ['[].avg()', null],
    ['[1, null, 3].avg()', 2],
    ['max("a", "b")', 'b'],
    ['min([5])', 5],
    ['int("12")', 12],
    ['int(-7.9)', -7],
    ['double(" 2.5e1 ")', 25],
    ['double(true)', 1],
    ['string(null) + string([1])', '[1]'],
  ])

  test('texts that are no numbers', () => {
    for (const text of ['', 'abc', '0x10', '1e999', 'Infinity', 'NaN', '1,5']) {
      expect(failure(`double("${text}")`).message, text).toContain('as a number')
    }
    expect(failure('["a"].sum()').message).toContain('element 0')
    expect(failure('max(1, "a")').code).toBe('expression_failed')
  })
})

describe('lists and maps', () => {
  table([
    ['[3, null, 1].sort()', [1, 3, null]],
    ['["b", "a"].sort()', ['a', 'b']],
    ['[{"k": 1, "v": "a"}, {"k": 0}, {"k": 1, "v": "b"}].sort("k").map(x, default(x.v, ""))', ['', 'a', 'b']],
    ['[{"a": 1, "b": 2}, {"b": 2, "a": 1}, [1], [1.0], 1, "1"].unique()', [{ a: 1, b: 2 }, [1], 1, '1']],
    ['[[1, [2]], 3].flatten(5)', [1, 2, 3]],
    ['[[1]].flatten(0)', [[1]]],
    ['[1, 2, 3].slice(-2)', [2, 3]],
    ['[1].slice(5)', []],
    ['merge({"a": 1}, null, {"b": 2})', { a: 1, b: 2 }],
    ['{}.size() + {"a": 1}.size()', 1],
    ['[1] + [2]', [1, 2]],
    ['["a", "b"].groupBy(x, x)["b"]', ['b']],
    ['[{"x": 1}, {}].groupBy("x")', { 1: [{ x: 1 }], null: [{}] }],
  ])

  test('lists without an order are refused', () => {
    expect(failure('[1, "a"].sort()').types).toEqual(expect.arrayContaining(['number', 'text']))
    expect(failure('[{"a": 1}, {"a": 2}].sort()').code).toBe('expression_failed')
    expect(failure('[1].groupBy("x")').message).toContain('list of maps')
    expect(failure('[1].groupBy(x, [x])').message).toContain('toJson(x)')
  })
})

describe('encodings', () => {
  table([
    ['base64("")', ''],
    ['base64("a")', 'YQ=='],
    ['base64("ab")', 'YWI='],
    ['base64("abc")', 'YWJj'],
    ['"user:" .base64()', 'dXNlcjo='],
    ['sha256("")', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['urlEncode("a b+c/d?e=f&g#h%!\'()*é")', 'a%20b%2Bc%2Fd%3Fe%3Df%26g%23h%25%21%27%28%29%2A%C3%A9'],
    ['urlEncode(7)', '7'],
    ['json("[1, 2.0, null]")', [1, 2, null]],
    ['toJson("a\\"b")', '"a\\"b"'],
    ['json(toJson(input.order)) == input.order', true],
    ['json("1e999")', null],
  ])

  test('no bytes of the platform are needed for base64', () => {
    for (const text of ['f', 'fo', 'foo', 'é😀', '\u0000\uffff']) {
      expect(yields('base64(input)', { input: text })).toBe(Buffer.from(text).toString('base64'))
    }
    expect(yields('urlEncode(input)', { input: '\ud800' })).toBe('%EF%BF%BD')
  })

  test('bad JSON and JSON beyond any depth', () => {
    expect(failure('json("{a}")').message).toContain('cannot read the text as JSON')
    expect(failure('json(input)', { input: '['.repeat(5000) + ']'.repeat(5000) }).message).toContain(
      'nested deeper',
    )
    expect(failure('base64({})').message).toContain('toJson(x)')
  })
})

describe('time', () => {
  table([
    ['now()', new Date(NOW).toISOString()],
    ['parseTime("1970-01-02")', 86_400_000],
    ['parseTime("2026-03-01T09:30Z")', NOW],
    ['parseTime("2026-03-01T09:30:00.123456Z")', NOW + 123],
    ['parseTime("2026-03-01 10:30:00+0100")', NOW],
    ['parseTime("2026-03-01T00:30:00-09:00")', NOW],
    ['parseTime("2024-02-29")', Date.UTC(2024, 1, 29)],
    ['parseTime("0001-01-01")', -62_135_596_800_000],
    ['formatTime(0)', '1970-01-01T00:00:00.000Z'],
    ['formatTime(now(), "yyyyMMdd HH:mm:ss.SSS")', '20260301 09:30:00.000'],
    ["formatTime(0, \"EEEE, d MMMM yy 'o''clock' H M\")", "Thursday, 1 January 70 o'clock 0 1"],
    ['now().parseTime() - parseTime("2026-03-01")', 34_200_000],
  ])

  test('times that do not exist, and patterns that are not known', () => {
    for (const text of ['2026-02-29', '2026-13-01', '2026-01-01T24:00', 'yesterday', '01.03.2026', '']) {
      expect(failure(`parseTime("${text}")`).message, text).toContain('ISO 8601')
    }
    expect(failure('formatTime(0, "YYYY")').message).toContain('Known are yyyy')
    expect(failure('formatTime(1e300)').message).toContain('outside the range')
  })
})
