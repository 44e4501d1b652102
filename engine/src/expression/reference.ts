/**
 * What an expression reads, found without evaluating it: the roots of the scope, and the static path behind each.
 *
 * Owns: which names exist at the top of the scope and directly below it. What lies deeper (which steps there are, what
 * their outputs look like) is known to the definition only.
 */
export type ScopeRoot = 'input' | 'steps' | 'item' | 'index' | 'run' | 'workflow' | 'vars'

export const ROOTS: readonly ScopeRoot[] = ['input', 'steps', 'item', 'index', 'run', 'workflow', 'vars']

export const isRoot = (name: string): name is ScopeRoot => (ROOTS as readonly string[]).includes(name)

/** Names that must never become readable (R14), and what people write to read them. */
export const SECRET_ROOTS: ReadonlySet<string> = new Set([
  'secrets',
  'secret',
  'env',
  'credentials',
  'credential',
])

/** The fixed members below a root, by the length of the path that leads to them. */
export const STEP_MEMBERS = ['output', 'status', 'error']
export const RUN_MEMBERS = ['id', 'startedAt', 'labels']
export const WORKFLOW_MEMBERS = ['name']

export interface Reference {
  readonly root: ScopeRoot
  /** Static selections after the root; a literal index appears as its digits, as in a JSON Pointer. */
  readonly path: readonly string[]
  /** Where each segment of `path` stands in the source. */
  readonly positions: readonly { readonly column: number; readonly length: number }[]
  /** The selection that follows `path` is computed, as in `steps[x]`. */
  readonly computed: boolean
  /** 1-based, in the expression's source, with the length of the whole reference. */
  readonly column: number
  readonly length: number
  /** Inside `has()` or `default()`: it may be missing. */
  readonly guarded: boolean
}
