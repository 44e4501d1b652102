/** An example: a folder whose name starts with a number, with a workflow and what must come of it. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

export interface ExpectedRequests {
  readonly method: string
  /** `*` stands for any part of one segment. */
  readonly path: string
  readonly count: number
  /** How many different paths the calls had; not compared when absent. */
  readonly paths?: number
}

interface ExpectedRun {
  readonly status: string
  readonly steps: Readonly<Record<string, string>>
}

/** What the runner does when the run waits for somebody: the step that must be waiting, and the act. */
export interface Action {
  readonly when: string
  readonly decide?: {
    readonly decision: 'approve' | 'reject'
    readonly comment?: string
    readonly data?: unknown
  }
  readonly send?: { readonly name: string; readonly key?: string; readonly data?: unknown }
  /** A patch from a file of the folder, and what its reviewer says. */
  readonly patch?: {
    readonly file: string
    readonly reason: string
    readonly review: 'approve' | 'reject'
  }
}

/** `$nonce` stands for the nonce of the service that was called. */
export interface Expected extends ExpectedRun {
  readonly output: unknown
  /** Code of the run's error. */
  readonly error?: string
  /** Attempts by step, where they matter. */
  readonly attempts?: Readonly<Record<string, number>>
  /** Labels by step, where they matter. */
  readonly labels?: Readonly<Record<string, string>>
  /** Child runs by the key of the step or item that started them. */
  readonly children?: Readonly<Record<string, ExpectedRun>>
  /** Every request that the service saw. */
  readonly requests: readonly ExpectedRequests[]
  /** Texts that the Slack receiver took. */
  readonly slack?: readonly string[]
  readonly actions?: readonly Action[]
}

/** One deliberate change to the text of the workflow, after which the run must not match `expected.json` any more. */
export interface Change {
  readonly change: string
  readonly find: string
  readonly replace: string
}

export interface Example {
  /** Such as `02-http-to-slack`. */
  readonly name: string
  readonly source: string
  /** Texts of the workflows that it starts by name. */
  readonly workflows: readonly string[]
  readonly input: Readonly<Record<string, unknown>>
  /** Operations by the name of their file. */
  readonly patches: Readonly<Record<string, unknown>>
  readonly expected: Expected
  readonly change: Change
}

const root = join(import.meta.dirname, '..')

export function exampleNames(): string[] {
  return globSync('[0-9][0-9]-*/workflow.yaml', { cwd: root })
    .map((path) => path.split('/')[0] as string)
    .sort()
}

export function readExample(name: string): Example {
  const folder = join(root, name)
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8')
  return {
    name: basename(folder),
    source: read('workflow.yaml'),
    workflows: globSync('workflows/*.yaml', { cwd: folder }).sort().map(read),
    input: existsSync(join(folder, 'input.json')) ? JSON.parse(read('input.json')) : {},
    patches: Object.fromEntries(
      globSync('patch*.json', { cwd: folder }).map((file) => [file, JSON.parse(read(file))]),
    ),
    expected: JSON.parse(read('expected.json')),
    change: JSON.parse(read('change.json')),
  }
}

/** The example with its deliberate change made. */
export function changed(example: Example): Example {
  const { find, replace } = example.change
  const occurrences = example.source.split(find).length - 1
  if (occurrences !== 1) {
    throw new Error(
      `examples/${example.name}/change.json: \`find\` must stand exactly once in workflow.yaml, but stands there ${occurrences} times`,
    )
  }
  return { ...example, source: example.source.replace(find, () => replace) }
}
