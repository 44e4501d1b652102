/** A definition file checked on this machine, without a server: every problem at once, with the lines of the file. */
import {
  CONTROL_NODE_TYPES,
  formatProblem,
  type NodeTypes,
  type Problem,
  validateSource,
  type Warning,
} from '@weft/engine'
import type { Clock } from '../clock.ts'
import { builtInNodes } from '../nodes/built-in.ts'
import type { ProblemAnswer } from './client.ts'
import { CliError } from './exit.ts'

export type CheckedFile =
  | {
      readonly ok: true
      readonly name: string
      readonly nodes: number
      readonly warnings: readonly Warning[]
    }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly text: string }

/** `unknownTypes`: whether a type that Weft does not bring is an error; a server may know more. */
export async function checkFile(
  source: string,
  fileName: string,
  clock: Clock,
  unknownTypes: 'error' | 'skip',
): Promise<CheckedFile> {
  const result = validateSource(source, await ownTypes(clock))
  if (result.ok) {
    const { graph, warnings } = result
    return { ok: true, name: graph.definition.name, nodes: graph.nodes.size, warnings }
  }
  const { problems } = result
  if (unknownTypes === 'skip' && problems.every(({ code }) => code === 'unknown_type')) {
    return { ok: true, name: fileName, nodes: 0, warnings: [] }
  }
  return { ok: false, problems, text: problemText(problems, fileName, source) }
}

/** Every problem under its line of the file. */
const problemText = (problems: readonly Problem[], fileName: string, source: string): string =>
  problems.map((problem) => formatProblem(problem, fileName, source)).join('\n\n')

/** A server's refusal of a definition, shown in the lines of the file; any other error as it is. */
export function inFile(error: unknown, fileName: string, source: string): unknown {
  if (!(error instanceof CliError)) return error
  const { code, problems } = (error.problem ?? {}) as Partial<ProblemAnswer>
  if (code !== 'invalid_definition' || !problems) return error
  return new CliError(error.exitCode, problemText(problems, fileName, source), error.problem)
}

/** What Weft brings: the types of workers elsewhere are only known to a server. */
async function ownTypes(clock: Clock): Promise<NodeTypes> {
  const nodes = builtInNodes({ clock, codeThreads: 1 })
  await nodes.close()
  return new Map(
    [...CONTROL_NODE_TYPES, ...nodes.types.map((type) => type.info)].map((info) => [info.type, info]),
  )
}
