/**
 * From syntax tree to closures: every name is resolved and every problem found here, once per graph, so that an
 * evaluation only computes.
 *
 * Owns: which names and functions exist, how deep macros nest, and what the expression reads. Reports every problem of
 * an expression, not only the first.
 */
import type { Json } from '../json.ts'
import type { FunctionDefinition } from './functions/definition.ts'
import { FUNCTIONS } from './functions/index.ts'
import { compilePattern, matches } from './functions/pattern.ts'
import { logical } from './logic.ts'
import { COMPREHENSIONS, type ComprehensionKind, MACRO_EXAMPLES } from './macros.ts'
import { type Finding, unknownFunction, unknownMember, unknownName } from './names.ts'
import { BINARY, type BinaryOperator, negate, truth } from './operators.ts'
import {
  abort,
  described,
  type ExpressionCode,
  type ExpressionProblem,
  problemAt,
  raise,
  type Site,
} from './problem.ts'
import { isRoot, type Reference, type ScopeRoot } from './reference.ts'
import {
  anyProbe,
  type Code,
  indexCode,
  indexProbe,
  keyCode,
  keyProbe,
  type Probe,
  readRoot,
  rootCode,
} from './selection.ts'
import { type ASTNode, TOO_DEEP } from './syntax.ts'
import { put, textOf } from './value.ts'

const MAX_MACRO_NESTING = 3
const MAX_TREE_DEPTH = 500
/** As many parts of a macro's body cost one iteration. */
const PARTS_PER_ITERATION = 16

type Chain<Kind> = { readonly code: Kind; readonly reference: OpenReference | undefined }

/** A reference that the selection around it may still extend. */
interface OpenReference {
  readonly root: ScopeRoot
  readonly path: readonly string[]
  readonly positions: readonly { readonly column: number; readonly length: number }[]
  readonly start: number
  readonly end: number
}

type Call = Extract<ASTNode, { op: 'call' | 'rcall' }>
type Selection = Extract<ASTNode, { op: '.' | '[]' }>

const isSelection = (node: ASTNode): node is Selection => node.op === '.' || node.op === '[]'

export class Lowering {
  readonly source: string
  readonly references: Reference[] = []
  /** Makes values of its own: these can be larger than anything that came in. */
  constructs = false
  #variables: string[] = []
  #depth = 0
  #guards = 0
  #parts = 0
  readonly #findings: Finding[] = []

  constructor(source: string) {
    this.source = source
  }

  get problems(): ExpressionProblem[] {
    return this.#findings.map((finding) => problemAt(this.#site(finding), finding.code, finding.message))
  }

  lower(node: ASTNode): Code {
    this.#enter(node)
    const code = this.#lowerNode(node)
    this.#depth--
    return code
  }

  #lowerNode(node: ASTNode): Code {
    switch (node.op) {
      case 'value':
        return this.#literal(node)
      case 'id':
      case '.':
      case '[]': {
        const { code, reference } = this.#strictChain(node)
        if (reference) this.#record(reference, false)
        return code
      }
      case 'list':
        return this.#list(node.args)
      case 'map':
        return this.#map(node)
      case '?:': {
        const [condition, then, otherwise] = node.args.map((part) => this.lower(part)) as [Code, Code, Code]
        const site = this.#site(node.args[0])
        return (machine) => (truth(site, condition(machine)) ? then(machine) : otherwise(machine))
      }
      case '&&':
        return this.#logical(node.args, false)
      case '||':
        return this.#logical(node.args, true)
      case '!_': {
        const [operand, site] = [this.lower(node.args), this.#site(node.args)]
        return (machine) => !truth(site, operand(machine))
      }
      case '-_': {
        const [operand, site] = [this.lower(node.args), this.#site(node)]
        return (machine) => negate(site, operand(machine))
      }
      case 'call':
      case 'rcall':
        return this.#call(node)
      case '.?':
      case '[?]':
        return this.#problem(
          node,
          'expression_syntax',
          'There are no optional selections: write `default(x.y, null)`.',
        )
      default:
        return this.#binary(node.op, node.args, this.#site(node))
    }
  }

  #literal(node: Extract<ASTNode, { op: 'value' }>): Code {
    const literal = node.args
    if (literal instanceof Uint8Array) {
      return this.#problem(
        node,
        'expression_syntax',
        'Bytes have no form in JSON. Write the text without the `b` before it.',
      )
    }
    const scalar = literal === null || typeof literal === 'string' || typeof literal === 'boolean'
    const value: Json = scalar ? literal : Number(literal)
    if (value === Number.POSITIVE_INFINITY) {
      return this.#problem(node, 'expression_syntax', 'The number is larger than any that JSON can hold.')
    }
    return () => value
  }

  #list(parts: readonly ASTNode[]): Code {
    this.constructs = true
    const elements = parts.map((part) => this.lower(part))
    return (machine) => elements.map((element) => element(machine))
  }

  #map(node: Extract<ASTNode, { op: 'map' }>): Code {
    this.constructs = true
    const entries = node.args.map(
      ([key, value]) => [this.lower(key), this.#site(key), this.lower(value)] as const,
    )
    return (machine) => {
      const result = {}
      for (const [key, site, value] of entries) {
        const name = key(machine)
        if (typeof name === 'object')
          raise(site, `A key of a map must be text, but this is ${described(name)}.`, [name])
        put(result, textOf(machine, site, name), value(machine))
      }
      return result
    }
  }

  #logical([left, right]: readonly [ASTNode, ASTNode], decisive: boolean): Code {
    return logical(this.lower(left), this.#site(left), this.lower(right), this.#site(right), decisive)
  }

  #binary(operator: BinaryOperator, operands: readonly [ASTNode, ASTNode], site: Site): Code {
    const [left, right] = [this.lower(operands[0]), this.lower(operands[1])]
    const apply = BINARY[operator]
    if (operator === '+') this.constructs = true
    return (machine) => apply(machine, site, left(machine), right(machine))
  }

  // Selections and what they read

  #strictChain(node: ASTNode): Chain<Code> {
    if (node.op === 'id') return this.#identifier(node)
    if (!isSelection(node)) return { code: this.lower(node), reference: undefined }
    this.#enter(node)
    const receiver = this.#strictChain(node.args[0])
    const receiverSite = this.#site(node.args[0])
    const selector = this.#selector(node)
    const code =
      selector.key === undefined
        ? indexCode(receiver.code, this.#index(node), selector.site, receiverSite)
        : keyCode(receiver.code, selector.key, selector.site, receiverSite)
    this.#depth--
    return { code, reference: this.#extend(receiver.reference, node, selector) }
  }

  #probeChain(node: ASTNode): Chain<Probe> {
    if (node.op === 'id') {
      const { code, reference } = this.#identifier(node)
      const root = reference?.root
      return { code: root === undefined ? code : (machine) => readRoot(machine.scope, root), reference }
    }
    if (!isSelection(node)) return { code: anyProbe(this.lower(node)), reference: undefined }
    this.#enter(node)
    const receiver = this.#probeChain(node.args[0])
    const selector = this.#selector(node)
    const code =
      selector.key === undefined
        ? indexProbe(receiver.code, anyProbe(this.#index(node)))
        : keyProbe(receiver.code, selector.key)
    this.#depth--
    return { code, reference: this.#extend(receiver.reference, node, selector) }
  }

  #enter(node: ASTNode): void {
    this.#parts++
    if (++this.#depth > MAX_TREE_DEPTH) abort(this.#site(node), 'expression_too_deep', TOO_DEEP)
  }

  /** `key`: known now and text; `segment`: known now, for the reference; neither: computed. */
  #selector(node: Selection): { readonly key?: string; readonly segment?: string; readonly site: Site } {
    if (node.op === '.') {
      const key = node.args[1]
      return { key, segment: key, site: { source: this.source, start: node.pos, end: node.pos + key.length } }
    }
    const index = node.args[1]
    const site = this.#site(index)
    if (index.op !== 'value') return { site }
    if (typeof index.args === 'string') return { key: index.args, segment: index.args, site }
    return typeof index.args === 'bigint' ? { segment: String(index.args), site } : { site }
  }

  #index(node: Selection): Code {
    return this.lower(node.args[1] as ASTNode)
  }

  #extend(
    reference: OpenReference | undefined,
    node: Selection,
    selector: { readonly segment?: string; readonly site: Site },
  ): OpenReference | undefined {
    if (!reference) return undefined
    if (selector.segment === undefined) {
      this.#record(reference, true)
      return undefined
    }
    const { start, end } = selector.site
    return {
      ...reference,
      path: [...reference.path, selector.segment],
      positions: [...reference.positions, { column: start + 1, length: end - start }],
      end: node.end,
    }
  }

  #record({ root, path, positions, start, end }: OpenReference, computed: boolean): void {
    const member = unknownMember(root, path, positions)
    if (member) this.#find(member)
    this.references.push({
      root,
      path,
      positions,
      computed,
      column: start + 1,
      length: end - start,
      guarded: this.#guards > 0,
    })
  }

  #identifier(node: Extract<ASTNode, { op: 'id' }>): Chain<Code> {
    const name = node.args
    const slot = this.#variables.lastIndexOf(name)
    if (slot >= 0) return { code: (machine) => machine.locals[slot] as Json, reference: undefined }
    if (isRoot(name)) {
      const reference = { root: name, path: [], positions: [], start: node.start, end: node.end }
      return { code: rootCode(name, this.#site(node)), reference }
    }
    return { code: this.#unknownName(node, name), reference: undefined }
  }

  #unknownName(node: ASTNode, name: string): Code {
    const explained = this.#findings.some(({ start, end }) => node.start >= start && node.end <= end)
    return explained ? NOTHING : this.#find(unknownName(this.source, node, name, this.#variables))
  }

  // Calls

  #call(node: Call): Code {
    const method = node.op === 'rcall'
    const name = node.args[0]
    const receiver = method ? node.args[1] : undefined
    const parts: readonly ASTNode[] = method ? [node.args[1], ...node.args[2]] : node.args[1]
    const site = this.#nameSite(node, name, receiver)
    if (name === 'has' && !method) return this.#has(node, parts)
    if (name === 'default' && !method) return this.#default(node, parts)
    const comprehension = COMPREHENSIONS.get(name)
    // `sort` and `groupBy` are macros when a variable comes first, and functions otherwise.
    if (comprehension && receiver && (parts.length > 2 || !FUNCTIONS.has(name))) {
      return this.#comprehension(name, comprehension, receiver, parts.slice(1), site)
    }
    const definition = FUNCTIONS.get(name)
    if (!definition) {
      if (receiver) this.lower(receiver)
      return this.#find(unknownFunction(site, name))
    }
    if (method && !definition.method) {
      return this.#problem(
        site,
        'unknown_function',
        `\`${name}\` has no method form. Write \`${definition.signature}\`.`,
      )
    }
    const [least, most] = definition.arity
    if (parts.length < least || parts.length > most) {
      return this.#problem(
        site,
        'expression_syntax',
        `\`${name}\` is called with the wrong number of arguments. Write \`${definition.signature}\`, for example \`${definition.example}\`.`,
      )
    }
    return this.#function(definition, parts, this.#site(node))
  }

  #function(definition: FunctionDefinition, parts: readonly ASTNode[], site: Site): Code {
    this.constructs = true
    const codes = parts.map((part) => this.lower(part))
    const { call } = definition
    if (definition.name === 'matches') {
      const constant = this.#constantMatches(parts, codes, site)
      if (constant) return constant
    }
    if (codes.length === 1) {
      const [only] = codes as [Code]
      return (machine) => call(machine, site, [only(machine)])
    }
    return (machine) =>
      call(
        machine,
        site,
        codes.map((code) => code(machine)),
      )
  }

  /** A literal pattern is compiled now, and what is wrong with it is said now. */
  #constantMatches(parts: readonly ASTNode[], codes: readonly Code[], site: Site): Code | undefined {
    const [text, literal] = [codes[0] as Code, parts[1] as ASTNode]
    if (literal.op !== 'value' || typeof literal.args !== 'string') return undefined
    const pattern = compilePattern(literal.args)
    if (typeof pattern === 'string') return this.#problem(literal, 'expression_syntax', pattern)
    const { call } = FUNCTIONS.get('matches') as FunctionDefinition
    return (machine) => {
      const value = text(machine)
      return typeof value === 'string'
        ? matches(machine, site, value, pattern)
        : call(machine, site, [value, literal.args as string])
    }
  }

  #has(node: Call, parts: readonly ASTNode[]): Code {
    const subject = parts[0]
    if (parts.length !== 1 || !subject || !isSelection(subject)) {
      return this.#problem(
        node,
        'expression_syntax',
        '`has` takes one selection and says whether it is there, as in `has(input.order.note)`.',
      )
    }
    const probe = this.#guarded(subject)
    return (machine) => probe(machine) !== undefined
  }

  #default(node: Call, parts: readonly ASTNode[]): Code {
    const [subject, other] = parts
    if (parts.length !== 2 || !subject || !other) {
      return this.#problem(
        node,
        'expression_syntax',
        '`default` takes a value and what stands in when it is missing or null, as in `default(input.count, 0)`.',
      )
    }
    const probe = this.#guarded(subject)
    const fallback = this.lower(other)
    return (machine) => probe(machine) ?? fallback(machine)
  }

  #guarded(node: ASTNode): Probe {
    this.#guards++
    const { code, reference } = this.#probeChain(node)
    if (reference) this.#record(reference, false)
    this.#guards--
    return code
  }

  #comprehension(
    name: string,
    { bodies: accepted, build }: ComprehensionKind,
    receiverNode: ASTNode,
    parts: readonly ASTNode[],
    site: Site,
  ): Code {
    const [variable, ...bodyNodes] = parts
    if (variable?.op !== 'id' || !accepted.includes(bodyNodes.length)) {
      return this.#problem(
        site,
        'expression_syntax',
        `\`${name}\` takes the name of a variable and an expression for each element, as in \`${MACRO_EXAMPLES.get(name)}\`.`,
      )
    }
    this.constructs = true
    const receiver = this.lower(receiverNode)
    const slot = this.#variables.length
    if (slot >= MAX_MACRO_NESTING) {
      abort(
        site,
        'expression_too_deep',
        `Macros nest at most ${MAX_MACRO_NESTING} deep, since each level multiplies the work. Compute the inner list in a step of its own.`,
      )
    }
    const partsBefore = this.#parts
    this.#variables.push(variable.args)
    const bodies = bodyNodes.map((body) => this.lower(body))
    this.#variables.pop()
    const weight = 1 + Math.floor((this.#parts - partsBefore) / PARTS_PER_ITERATION)
    return build({
      name,
      site,
      receiver,
      slot,
      bodies,
      bodySites: bodyNodes.map((body) => this.#site(body)),
      weight,
    })
  }

  // Sites and problems

  #site(node: { readonly start: number; readonly end: number }): Site {
    return { source: this.source, start: node.start, end: node.end }
  }

  #nameSite(node: ASTNode, name: string, receiver: ASTNode | undefined): Site {
    const start = receiver ? this.source.indexOf(name, receiver.end) : node.start
    return { source: this.source, start, end: start + name.length }
  }

  #problem(
    part: { readonly start: number; readonly end: number },
    code: ExpressionCode,
    message: string,
  ): Code {
    return this.#find({ start: part.start, end: part.end, code, message })
  }

  #find(finding: Finding): Code {
    this.#findings.push(finding)
    return NOTHING
  }
}

/** Stands for what has a problem; never evaluated. */
const NOTHING: Code = () => null
