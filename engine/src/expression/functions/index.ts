/**
 * Every function by name, and what people of other languages call them.
 */
import type { FunctionDefinition } from './definition.ts'
import { ENCODING_FUNCTIONS } from './encoding.ts'
import { LIST_FUNCTIONS } from './list.ts'
import { NUMBER_FUNCTIONS } from './number.ts'
import { TEXT_FUNCTIONS } from './text.ts'
import { TIME_FUNCTIONS } from './time.ts'

export const FUNCTIONS: ReadonlyMap<string, FunctionDefinition> = new Map(
  [...TEXT_FUNCTIONS, ...LIST_FUNCTIONS, ...NUMBER_FUNCTIONS, ...ENCODING_FUNCTIONS, ...TIME_FUNCTIONS].map(
    (definition) => [definition.name, definition],
  ),
)

/** What the same thing is called elsewhere, and too far from our name for a nearest-name search. */
export const OTHER_NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    lower: 'lowerAscii',
    toLowerCase: 'lowerAscii',
    upper: 'upperAscii',
    toUpperCase: 'upperAscii',
    length: 'size',
    len: 'size',
    count: 'size',
    distinct: 'unique',
    includes: 'contains',
    strip: 'trim',
    fromJson: 'json',
    fromJSON: 'json',
    parseJson: 'json',
    toJSON: 'toJson',
    stringify: 'toJson',
    toString: 'string',
    str: 'string',
    number: 'double',
    float: 'double',
    toNumber: 'double',
    substr: 'substring',
    encodeURIComponent: 'urlEncode',
    average: 'avg',
    mean: 'avg',
    assign: 'merge',
    coalesce: 'default',
    every: 'all',
    some: 'exists',
    any: 'exists',
    orderBy: 'sort',
    sortBy: 'sort',
    timestamp: 'parseTime',
    regex: 'matches',
    test: 'matches',
  }),
)
