/**
 * From text to syntax tree, by the parser of `@marcbachmann/cel-js`. Only its parser is used: checking and evaluation
 * are ours, since JSON has one number type and `null` where CEL has many types.
 *
 * Owns: the limits of the source, and what a syntax error says.
 */
import { type ASTNode, Environment, ParseError } from '@marcbachmann/cel-js'
import { type ExpressionProblem, problemAt, type Site } from './problem.ts'

export type { ASTNode } from '@marcbachmann/cel-js'

const MAX_SOURCE_LENGTH = 16_384

const environment = new Environment({
  unlistedVariablesAreDyn: true,
  homogeneousAggregateLiterals: false,
  limits: { maxDepth: 100, maxAstNodes: 20_000, maxListElements: 5_000, maxMapEntries: 5_000 },
})

export function parse(source: string): { readonly tree: ASTNode } | { readonly problem: ExpressionProblem } {
  if (source.trim() === '') {
    return {
      problem: problemAt(
        { source, start: 0, end: source.length },
        'expression_syntax',
        'The expression is empty.',
      ),
    }
  }
  if (source.length > MAX_SOURCE_LENGTH) {
    return {
      problem: problemAt(
        { source, start: 0, end: source.length },
        'expression_syntax',
        `The expression has ${source.length} characters; at most ${MAX_SOURCE_LENGTH} are allowed. Put constant text outside of \`\${{ }}\`.`,
      ),
    }
  }
  try {
    return { tree: environment.parse(source).ast }
  } catch (error) {
    if (error instanceof ParseError) return { problem: syntaxProblem(source, error) }
    // The parser descends once per `!` or `-` without counting; a few thousand of them exhaust the stack.
    if (error instanceof RangeError) return { problem: tooDeep({ source, start: 0, end: source.length }) }
    throw error
  }
}

export const TOO_DEEP =
  'The expression is nested too deeply, or has too many parts. Split it over several steps, or compute this in a `code` step.'

const tooDeep = (site: Site): ExpressionProblem => problemAt(site, 'expression_too_deep', TOO_DEEP)

function syntaxProblem(source: string, error: ParseError): ExpressionProblem {
  const start = Math.min(error.range?.start ?? 0, source.length)
  const end = Math.max(error.range?.end ?? start, start)
  const site = { source, start, end }
  if (error.code === 'limit_exceeded') return tooDeep(site)
  const found = source.slice(start, end)
  return problemAt(site, 'expression_syntax', `${explain(error, found)}${hint(source, start, found)}`)
}

function explain(error: ParseError, found: string): string {
  switch (error.code) {
    case 'unexpected_token':
    case 'unexpected_character':
      return found === ''
        ? 'The expression ends where a value should follow.'
        : `\`${found}\` cannot stand here.`
    case 'expected_token': {
      const wanted = TOKENS[/^Expected (\w+)/.exec(error.summary)?.[1] ?? ''] ?? 'something else'
      return found === ''
        ? `The expression ends where ${wanted} should follow.`
        : `\`${found}\` stands where ${wanted} should.`
    }
    case 'unterminated_string':
    case 'unterminated_triple_quoted_string':
      return 'A text is not closed: its second quote is missing.'
    case 'newline_in_string':
      return 'A text between single or double quotes cannot contain a line break. Write `\\n`, or use three quotes.'
    case 'reserved_identifier':
      return `\`${found}\` is a reserved word.${found === 'if' || found === 'else' ? ' Write `condition ? a : b`.' : ''}`
    case 'invalid_macro_argument':
      return 'The first argument of a macro is the name of its variable, as in `items.map(x, x.id)`.'
    default:
      return `${error.summary}.`
  }
}

const TOKENS: Readonly<Record<string, string>> = {
  IDENTIFIER: 'a name',
  RPAREN: '`)`',
  RBRACKET: '`]`',
  RBRACE: '`}`',
  COLON: '`:`',
}

const WORDS: Readonly<Record<string, string>> = { and: '&&', or: '||', not: '!', is: '==' }

function hint(source: string, start: number, found: string): string {
  const word = /^[A-Za-z]\w*/.exec(source.slice(start))?.[0] ?? ''
  const operator = Object.hasOwn(WORDS, word) ? WORDS[word] : undefined
  if (operator) return ` For \`${word}\` write \`${operator}\`.`
  if (found === '=') return ' Comparison is `==`; there is no assignment.'
  if (found === '&') return ' The logical and is `&&`.'
  if (found === '|')
    return ' The logical or is `||`; there are no pipes, functions are called: `text.trim()`.'
  if (source.startsWith('${{', start))
    return ' This is an expression already: write it without `${{ }}` around its parts.'
  if (found === '$') return ' Names have no `$`: write `input`, `steps`, `item`.'
  if (found === '`') return ' Texts stand between `"` or `\'`.'
  if (
    source[start - 1] === '.' &&
    (word === 'in' || word === 'true' || word === 'false' || word === 'null')
  ) {
    return ` To select this key write \`["${word}"]\`.`
  }
  if (source[start - 1] === '.' && found === '?') return ' There is no `?.`: write `default(x.y, null)`.'
  return ''
}
