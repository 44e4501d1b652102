/**
 * What a wrong name was probably meant to be: the sentences for names, members and functions that do not exist.
 */
import { FUNCTIONS, OTHER_NAMES } from './functions/index.ts'
import { MACRO_EXAMPLES } from './macros.ts'
import { listNames, nearestName, shorten } from './nearest.ts'
import type { ExpressionCode } from './problem.ts'
import {
  ROOTS,
  RUN_MEMBERS,
  type ScopeRoot,
  SECRET_ROOTS,
  STEP_MEMBERS,
  WORKFLOW_MEMBERS,
} from './reference.ts'

/** What is wrong with a part of the source, from `start` to `end`. */
export interface Finding {
  readonly start: number
  readonly end: number
  readonly code: ExpressionCode
  readonly message: string
}

interface Part {
  readonly start: number
  readonly end: number
}

export function unknownName(source: string, part: Part, name: string, variables: readonly string[]): Finding {
  if (SECRET_ROOTS.has(name)) return secret(source, part)
  const hyphenated = hyphen(source, part)
  if (hyphenated) return hyphenated
  const constant = CONSTANTS.get(name.toLowerCase())
  if (constant) {
    return {
      ...part,
      code: 'unknown_name',
      message: `\`${name}\` is not a value here. Write \`${constant}\`.`,
    }
  }
  const names = [...variables, ...ROOTS]
  const shown = shorten(name)
  const nearest = nearestName(name, names)
  const called = FUNCTIONS.get(name)
  const advice =
    nearest !== undefined
      ? `Did you mean \`${nearest}\`?`
      : called
        ? `To call the function, write \`${called.signature}\`.`
        : `Outputs of other steps are \`steps.${shown}.output\`, the run's input is \`input.${shown}\`, and text stands between quotes.`
  return {
    ...part,
    code: 'unknown_name',
    message: `\`${shown}\` is not a name that exists here. ${advice} Names are ${listNames(names)}.`,
  }
}

const CONSTANTS: ReadonlyMap<string, string> = new Map([
  ['true', 'true'],
  ['false', 'false'],
  ['none', 'null'],
  ['nil', 'null'],
  ['null', 'null'],
  ['undefined', 'null'],
])

function secret(source: string, part: Part): Finding {
  const selected = /^\s*(?:\.\s*(\w+)|\[\s*["'](.*?)["']\s*\])/.exec(source.slice(part.end))
  const end = part.end + (selected?.[0].length ?? 0)
  const name = selected?.[1] ?? selected?.[2] ?? 'my_service'
  const credential = shorten(name, 40)
    .toLowerCase()
    .replace(/[^a-z0-9_]/g, '_')
  return {
    start: part.start,
    end,
    code: 'secret_reference',
    message: `\`${shorten(source.slice(part.start, end))}\` cannot be read: expressions never see secrets or the environment. Name a credential on the node (\`credential: ${credential}\`) and give the server its value in WEFT_CREDENTIAL_${credential.toUpperCase()}; the step then uses it without showing it. Settings that are no secret belong into \`vars\`.`,
  }
}

/** `input.order-id` parses as a subtraction; whoever wrote it without spaces meant a key. */
function hyphen(source: string, part: Part): Finding | undefined {
  const before = /[\w-]*$/.exec(source.slice(0, part.start))?.[0] ?? ''
  const after = /^[\w-]*/.exec(source.slice(part.start))?.[0] ?? ''
  const written = before + after
  if (!/^[A-Za-z_]\w*(-\w+)+$/.test(written)) return undefined
  const start = part.start - before.length
  const owner = /[\w.[\]"']*\.$/.exec(source.slice(0, start))?.[0].slice(0, -1)
  const advice =
    owner === undefined
      ? 'Names have no hyphens; put spaces around a minus.'
      : owner === 'steps'
        ? `Ids of steps have underscores: \`steps.${written.replaceAll('-', '_')}\`.`
        : `To select a key with a hyphen, write \`${owner}["${written}"]\`.`
  return {
    start,
    end: part.start + after.length,
    code: 'unknown_name',
    message: `In \`${shorten(written)}\` the hyphen is a minus. ${advice}`,
  }
}

/** What hangs directly below a root is fixed, except for inputs, items and variables. */
export function unknownMember(
  root: ScopeRoot,
  path: readonly string[],
  positions: readonly { readonly column: number; readonly length: number }[],
): Finding | undefined {
  const level = root === 'steps' ? 1 : 0
  const members =
    root === 'steps'
      ? STEP_MEMBERS
      : root === 'run'
        ? RUN_MEMBERS
        : root === 'workflow'
          ? WORKFLOW_MEMBERS
          : undefined
  const written = path[level]
  const position = positions[level]
  if (!members || written === undefined || !position || members.includes(written)) return undefined
  const owner = [root, ...path.slice(0, level)].map((segment) => shorten(segment)).join('.')
  const nearest = nearestName(written, members)
  const guess =
    nearest !== undefined
      ? ` Did you mean \`${owner}.${nearest}\`?`
      : root === 'steps'
        ? ` Did you mean \`${owner}.output.${shorten(written)}\`?`
        : ''
  return {
    start: position.column - 1,
    end: position.column - 1 + position.length,
    code: 'unknown_name',
    message: `\`${owner}\` has no \`${shorten(written)}\`; it has ${listNames(members)}.${guess}`,
  }
}

export function unknownFunction(part: Part, name: string): Finding {
  const example = MACRO_EXAMPLES.get(name)
  if (example) {
    return {
      ...part,
      code: 'unknown_function',
      message: `\`${name}\` is not called like this. Write \`${example}\`.`,
    }
  }
  const known = [...new Set([...FUNCTIONS.keys(), ...MACRO_EXAMPLES.keys()])]
  const similar = OTHER_NAMES.has(name) ? name : nearestName(name, [...known, ...OTHER_NAMES.keys()])
  const nearest = similar && (OTHER_NAMES.get(similar) ?? similar)
  const usage = nearest && (FUNCTIONS.get(nearest)?.signature ?? MACRO_EXAMPLES.get(nearest))
  const advice = usage
    ? `Did you mean \`${usage}\`?`
    : `Functions are ${known.map((each) => `\`${each}\``).join(', ')}.`
  return {
    ...part,
    code: 'unknown_function',
    message: `There is no function \`${shorten(name)}\`. ${advice}`,
  }
}
