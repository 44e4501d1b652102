/** What a sandbox thread and the process say to each other. */
import type { LogLineLevel } from '../node-type.ts'

export interface ThreadData {
  /** Four bytes that both see: 1 asks the interpreter to stop. */
  readonly flag: SharedArrayBuffer
  /** Everything that the interpreter and the code in it may take. */
  readonly memoryBytes: number
}

export interface SandboxCall {
  /** The body of an async function of `input`. */
  readonly code: string
  /** JSON text. */
  readonly input: string
}

export interface SandboxFailure {
  /** `output`: the code ended well, its value cannot be written as JSON. */
  readonly reason: 'failed' | 'output' | 'out_of_memory' | 'stopped' | 'crashed'
  readonly message: string
  /** In the author's code, from 1. */
  readonly line?: number
  readonly column?: number
}

/** How a call ended. `retire`: the thread should not be used again. */
export type SandboxEnd =
  | { readonly kind: 'done'; readonly output: string; readonly retire: boolean }
  | { readonly kind: 'failed'; readonly failure: SandboxFailure; readonly retire: boolean }

/** Any number of lines, then the end. */
export type SandboxAnswer =
  | { readonly kind: 'line'; readonly level: string; readonly text: string }
  | SandboxEnd

export const levelOf = (text: string): LogLineLevel =>
  text === 'debug' || text === 'warn' || text === 'error' ? text : 'info'
