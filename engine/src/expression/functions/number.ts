/**
 * Functions over numbers, and conversions between the scalar types.
 */
import type { Json } from '../../json.ts'
import type { Machine } from '../machine.ts'
import { raise, type Site } from '../problem.ts'
import { finite, order, textOf } from '../value.ts'
import {
  type FunctionDefinition,
  integerArgument,
  listArgument,
  numberArgument,
  refuse,
} from './definition.ts'

/** Halves go away from zero, as in CEL; `Math.round` sends -2.5 to -2. */
const roundHalfAway = (value: number): number => Math.sign(value) * Math.round(Math.abs(value))

function round(site: Site, value: number, digits: number): number {
  if (digits === 0) return finite(roundHalfAway(value), site)
  // Shifting the decimal exponent in text keeps 1.005 from becoming 1.00499… on the way.
  const shifted = Number(`${value}e${digits}`)
  if (!Number.isFinite(shifted)) return value
  return finite(Number(`${roundHalfAway(shifted)}e${-digits}`), site)
}

const toNumber = (site: Site, name: string, values: readonly Json[]): number => {
  const value = values[0] as Json
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value !== 'string') return refuse(site, name, values, 0, 'a number, text or boolean')
  const number = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(value) ? Number(value) : Number.NaN
  if (!Number.isFinite(number)) raise(site, `\`${name}\` cannot read the text as a number.`, values)
  return number + 0
}

/** The numbers to aggregate: one list, or the arguments themselves; `null` elements do not count. */
function elements(machine: Machine, site: Site, values: readonly Json[]): Json[] {
  const list = values.length === 1 && Array.isArray(values[0]) ? values[0] : values
  machine.spend(list.length, site)
  return list.filter((value) => value !== null)
}

function total(site: Site, name: string, list: readonly Json[]): number {
  let sum = 0
  for (const [index, value] of list.entries()) {
    if (typeof value !== 'number')
      raise(site, `\`${name}\` needs numbers, but element ${index} is none.`, [value])
    sum += value
  }
  return finite(sum, site)
}

function extreme(machine: Machine, site: Site, values: readonly Json[], sign: 1 | -1): Json {
  let best: Json = null
  for (const value of elements(machine, site, values)) {
    const compared = order(machine, site, value, best)
    if (compared === undefined || compared * sign > 0) best = value
  }
  return best
}

const rounding = (
  name: string,
  description: string,
  example: string,
  result: number,
  compute: (value: number) => number,
): FunctionDefinition => ({
  name,
  kind: 'function',
  signature: `${name}(number)`,
  description,
  example,
  result,
  arity: [1, 1],
  method: false,
  call: (_, site, values) => finite(compute(numberArgument(site, name, values, 0)), site),
})

export const NUMBER_FUNCTIONS: readonly FunctionDefinition[] = [
  {
    name: 'round',
    kind: 'function',
    signature: 'round(number, digits?)',
    description:
      'The nearest whole number, or the nearest with so many decimal places; halves go away from zero.',
    example: 'round(2.345, 2)',
    result: 2.35,
    arity: [1, 2],
    method: false,
    call: (_, site, values) => {
      const digits = values.length > 1 ? integerArgument(site, 'round', values, 1) : 0
      if (Math.abs(digits) > 100) refuse(site, 'round', values, 1, 'at most 100 digits')
      return round(site, numberArgument(site, 'round', values, 0), digits)
    },
  },
  rounding('floor', 'The largest whole number that is not above the number.', 'floor(-1.5)', -2, Math.floor),
  rounding('ceil', 'The smallest whole number that is not below the number.', 'ceil(1.2)', 2, Math.ceil),
  rounding('abs', 'The number without its sign.', 'abs(-3)', 3, Math.abs),
  {
    name: 'sum',
    kind: 'function',
    signature: 'list.sum()',
    description: 'The sum of a list of numbers; 0 for an empty one. `null` elements do not count.',
    example: '[1, 2, 3.5].sum()',
    result: 6.5,
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      listArgument(site, 'sum', values, 0)
      return total(site, 'sum', elements(machine, site, values))
    },
  },
  {
    name: 'avg',
    kind: 'function',
    signature: 'list.avg()',
    description: 'The mean of a list of numbers; `null` for an empty one. `null` elements do not count.',
    example: '[1, 2, 6].avg()',
    result: 3,
    arity: [1, 1],
    method: true,
    call: (machine, site, values) => {
      listArgument(site, 'avg', values, 0)
      const list = elements(machine, site, values)
      return list.length === 0 ? null : total(site, 'avg', list) / list.length
    },
  },
  {
    name: 'min',
    kind: 'function',
    signature: 'list.min()',
    description: 'The least element of a list, or the least argument; `null` where there is none.',
    example: 'min(3, 1, 2)',
    result: 1,
    arity: [1, 32],
    method: true,
    call: (machine, site, values) => extreme(machine, site, values, -1),
  },
  {
    name: 'max',
    kind: 'function',
    signature: 'list.max()',
    description: 'The greatest element of a list, or the greatest argument; `null` where there is none.',
    example: '[3, 1, 2].max()',
    result: 3,
    arity: [1, 32],
    method: true,
    call: (machine, site, values) => extreme(machine, site, values, 1),
  },
  {
    name: 'string',
    kind: 'function',
    signature: 'string(value)',
    description: 'The value as it prints inside text: `null` as empty, lists and maps as JSON.',
    example: 'string(3.0)',
    result: '3',
    arity: [1, 1],
    method: false,
    call: (machine, site, values) => textOf(machine, site, values[0] as Json),
  },
  {
    name: 'double',
    kind: 'function',
    signature: 'double(value)',
    description: 'The number that a text spells; `true` is 1 and `false` is 0.',
    example: 'double("2.50")',
    result: 2.5,
    arity: [1, 1],
    method: false,
    call: (_, site, values) => toNumber(site, 'double', values),
  },
  {
    name: 'int',
    kind: 'function',
    signature: 'int(value)',
    description: 'As `double`, without what is behind the point.',
    example: 'int("7.9")',
    result: 7,
    arity: [1, 1],
    method: false,
    call: (_, site, values) => Math.trunc(toNumber(site, 'int', values)) + 0,
  },
]
