/** `match` of a `wait` node: a condition over a message, which sees nothing of the run. */
import { type CompiledExpression, compileBare, evaluate } from '../expression/index.ts'
import type { Json } from '../json.ts'

/** In it `input` is the data of the message. */
export function compileMatch(source: string): CompiledExpression {
  const compiled = compileBare(source)
  if (!compiled.ok) return compiled
  const outside = compiled.expression.references.filter(({ root }) => root !== 'input')
  if (outside.length === 0) return compiled
  return {
    ok: false,
    problems: outside.map(({ root, column, length }) => ({
      code: 'unknown_name',
      message: `\`${root}\` does not exist in \`match\`, which sees the message only: its data is \`input\`, as in \`input.amount > 100\`. To select by a value of the run, use \`key\`.`,
      column,
      length,
    })),
  }
}

/** Whether the condition holds for this data. A message that it cannot read is not the one that is waited for. */
export function matchHolds(source: string, data: Json, now: number): boolean {
  const compiled = compileMatch(source)
  if (!compiled.ok) return false
  const result = evaluate(compiled.expression, { input: data }, { now })
  return result.ok && result.value === true
}
