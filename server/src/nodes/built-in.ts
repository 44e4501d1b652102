/** The task types that Weft brings along. */
import type { Clock } from '../clock.ts'
import { codeNode } from './code/code.ts'
import { createSandbox } from './code/sandbox.ts'
import { httpNode } from './http/http.ts'
import { logNode } from './log.ts'
import type { NodeType } from './node-type.ts'
import { slackPostMessageNode } from './slack.ts'

export interface BuiltInNodes {
  readonly types: readonly NodeType[]
  /** Ends the sandbox threads; called once the workers have drained. */
  close(): Promise<void>
}

/** @param options.codeThreads how many `code` steps run at once; what is more waits for a thread */
export function builtInNodes(options: { readonly clock: Clock; readonly codeThreads: number }): BuiltInNodes {
  const { clock, codeThreads } = options
  const sandbox = createSandbox({ clock, threads: Math.max(1, codeThreads) })
  return {
    types: [httpNode(clock), slackPostMessageNode(clock), codeNode(sandbox), logNode],
    close: () => sandbox.close(),
  }
}
