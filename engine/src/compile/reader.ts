/**
 * Expressions of a graph: compiled, and everything they refer to checked.
 *
 * Owns: which names each place of a definition may read. A step may read those before it; an edge its source and those
 * before that; `until` the step itself; the run's output every step. Whether a step comes before another is asked for all
 * pairs at once, when the graph is read (`ancestors.ts`).
 */
import {
  compileBare,
  compileTemplate,
  type Expression,
  type ExpressionProblem,
  type FieldMode,
  nearestName,
  type Reference,
  type Template,
} from '../expression/index.ts'
import { listNames, shorten } from '../expression/nearest.ts'
import type { Json } from '../json.ts'
import type { Claim } from './ancestors.ts'
import type { Report } from './report.ts'
import { type Exclusion, exclusion } from './schema-path.ts'

/** What may be read at one place of the definition. */
export interface Reading {
  /** Pointer of the text, or of the template. */
  readonly pointer: string
  /** Only what comes before this step may be read; `null`: every step. */
  readonly before: string | null
  /** A step that may be read although it does not come before: the source of an edge, the step of an `until`. */
  readonly also?: string
  /** Whether `item` and `index` exist here. */
  readonly item: boolean
}

/** What the graph declares, as far as expressions can refer to it. */
export interface Declared {
  readonly hasStep: (id: string) => boolean
  readonly steps: () => readonly string[]
  readonly outputSchema: (id: string) => Json | undefined
  readonly inputSchema: Json | undefined
}

const EMPTY_TEMPLATE = (() => {
  const compiled = compileTemplate({})
  if (!compiled.ok) throw new Error('a template without expressions always compiles')
  return compiled.template
})()

export class Reader {
  readonly variables = new Set<string>()
  readonly claims: Claim[] = []
  readonly #declared: Declared
  readonly #report: Report

  constructor(declared: Declared, report: Report) {
    this.#declared = declared
    this.#report = report
  }

  /** A bare expression, or `null` when it has problems, which then are reported. */
  bare(source: string, reading: Reading): Expression | null {
    const compiled = compileBare(source)
    if (!compiled.ok) {
      for (const problem of compiled.problems) this.#expressionProblem(problem, reading.pointer, 0)
      return null
    }
    for (const reference of compiled.expression.references)
      this.#check(reference, reading, reading.pointer, 0)
    return compiled.expression
  }

  template(value: Json, fields: Readonly<Record<string, FieldMode>>, reading: Reading): Template {
    const compiled = compileTemplate(value, fields)
    const { references } = compiled.ok ? compiled.template : compiled
    for (const reference of references) {
      this.#check(reference, reading, reading.pointer + reference.pointer, reference.offset)
    }
    if (compiled.ok) return compiled.template
    for (const problem of compiled.problems) {
      this.#expressionProblem(problem, reading.pointer + problem.pointer, problem.offset)
    }
    return EMPTY_TEMPLATE
  }

  #expressionProblem(problem: ExpressionProblem, pointer: string, offset: number): void {
    const { code, message, column, length } = problem
    this.#report.problem(code, message, pointer, { offset: offset + column - 1, length })
  }

  #check(reference: Reference, reading: Reading, pointer: string, offset: number): void {
    switch (reference.root) {
      case 'steps':
        this.#step(reference, reading, pointer, offset)
        return
      case 'input':
        this.#path(reference, this.#declared.inputSchema, 0, "the run's input", pointer, offset)
        return
      case 'item':
      case 'index':
        if (!reading.item) {
          const message = `\`${reference.root}\` exists only in the \`with\` of a node with \`forEach\`, and in the body of such a node.`
          this.#report.problem('item_outside_for_each', message, pointer, at(reference, offset))
        }
        return
      case 'vars':
        this.#variable(reference, pointer, offset)
        return
      case 'run':
      case 'workflow':
        return
    }
  }

  #variable(reference: Reference, pointer: string, offset: number): void {
    const [name] = reference.path
    if (name !== undefined) {
      this.variables.add(name)
      return
    }
    const message =
      'Name the variable, as in `vars.region`: which variables a run reads must be known before it starts, so `vars` alone and `vars[…]` with a computed name cannot be read.'
    this.#report.problem('computed_variable_reference', message, pointer, at(reference, offset))
  }

  #step(reference: Reference, reading: Reading, pointer: string, offset: number): void {
    const [id] = reference.path
    if (id === undefined) {
      const message =
        'Name the step, as in `steps.fetch.output`: which steps are read must be known before the run starts, so `steps` alone and `steps[…]` with a computed name cannot be read.'
      this.#report.problem('computed_step_reference', message, pointer, at(reference, offset))
      return
    }
    if (!this.#declared.hasStep(id)) {
      this.#unknownStep(id, reference, reading, pointer, offset)
      return
    }
    const { before, also } = reading
    if (before !== null && id !== also) {
      const refute = (): void => this.#notBefore(id, before, reading, pointer, at(reference, offset, 0))
      this.claims.push({ step: id, before, refute })
    }
    if (reference.path[1] === 'output') {
      this.#path(reference, this.#declared.outputSchema(id), 2, `the output of \`${id}\``, pointer, offset)
    }
  }

  #unknownStep(id: string, reference: Reference, reading: Reading, pointer: string, offset: number): void {
    const { before } = reading
    const others = this.#declared.steps().filter((step) => step !== before || step === reading.also)
    const suggestion = nearestName(id, others)
    const advice = suggestion
      ? `Did you mean \`${suggestion}\`?`
      : others.length > 0
        ? `Steps are ${listNames(others)}.`
        : 'There are no other steps.'
    const relation =
      before === null
        ? 'is not a step of this workflow'
        : reading.also === before
          ? `is neither \`${before}\` nor a step before it`
          : `is not a step before \`${before}\``
    this.#report.problem('unknown_step', `\`steps.${shorten(id)}\` ${relation}. ${advice}`, pointer, {
      ...at(reference, offset, 0),
      ...(suggestion ? { suggestion } : {}),
    })
  }

  #notBefore(
    id: string,
    before: string,
    reading: Reading,
    pointer: string,
    where: { offset: number; length: number },
  ): void {
    const message =
      id === before
        ? `\`${id}\` cannot read its own output here: it does not exist yet. After a round of \`repeat\`, \`until\` can.`
        : reading.also !== undefined && reading.also === before
          ? `\`${id}\` does not come before \`${before}\`, after which this condition is evaluated: it may not have run yet. Put the condition into \`when\` of the node that waits for both, or add \`${id}\` to \`needs\` of \`${before}\`.`
          : `\`${id}\` does not come before \`${before}\`: it may not have run yet. Add \`${id}\` to \`needs\` of \`${before}\`, or of a step before it.`
    this.#report.problem('not_an_ancestor', message, pointer, where)
  }

  #path(
    reference: Reference,
    schema: Json | undefined,
    from: number,
    owner: string,
    pointer: string,
    offset: number,
  ): void {
    if (schema === undefined || reference.guarded || reference.path.length === from) return
    const excluded = exclusion(schema, reference.path.slice(from))
    if (!excluded) return
    const index = from + excluded.at
    const wrong = reference.path[index] as string
    const keys = 'keys' in excluded.found ? excluded.found.keys : []
    const suggestion = nearestName(wrong, keys)
    const message = pathMessage(reference, index, wrong, excluded, suggestion, owner)
    const where = { ...at(reference, offset, index), ...(suggestion ? { suggestion } : {}) }
    // A map that allows further keys may well hold this one; a name so near to a declared one hardly means another.
    if (excluded.strength === 'closed' || suggestion)
      this.#report.problem('unknown_path', message, pointer, where)
    else this.#report.warning('unknown_path', message, pointer, where)
  }
}

function pathMessage(
  reference: Reference,
  index: number,
  wrong: string,
  excluded: Exclusion,
  suggestion: string | undefined,
  owner: string,
): string {
  const holder = [reference.root, ...reference.path.slice(0, index)].map((part) => shorten(part)).join('.')
  if ('kind' in excluded.found) {
    const { kind } = excluded.found
    return kind === 'array'
      ? `\`${holder}\` is a list and has no \`${shorten(wrong)}\`. Select an element first, as in \`${holder}[0]\`, or use \`map\`.`
      : `\`${holder}\` is of type ${kind} and has no \`${shorten(wrong)}\`.`
  }
  const { keys } = excluded.found
  const has = keys.length > 0 ? `it has ${listNames(keys)}` : 'it has no keys'
  const advice = suggestion ? ` Did you mean \`${suggestion}\`?` : ''
  const hint =
    excluded.strength === 'open'
      ? ` Declare it in the schema of ${owner}, or read it with \`default(${holder}.${shorten(wrong)}, …)\`.`
      : ''
  return `\`${holder}\` has no \`${shorten(wrong)}\`: ${has}, says the schema of ${owner}.${advice}${hint}`
}

/** Where a reference, or one segment of its path, stands in the text. */
function at(reference: Reference, offset: number, segment?: number): { offset: number; length: number } {
  const { column, length } = (segment === undefined ? undefined : reference.positions[segment]) ?? reference
  return { offset: offset + column - 1, length }
}
