/**
 * The inside of a sandbox thread: QuickJS in WebAssembly, a fresh runtime per call, no way out but the messages below.
 *
 * Runs as the main file of a worker thread. Knows no time: whoever started the call stops it by raising the flag, which
 * the interpreter looks at between its steps; if that does not help, the thread itself is ended from outside (R16).
 */
import { parentPort, workerData } from 'node:worker_threads'
import {
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSWASMModule,
  RELEASE_SYNC,
} from 'quickjs-emscripten'
import type { SandboxAnswer, SandboxCall, SandboxEnd, SandboxFailure, ThreadData } from './protocol.ts'

const { flag, memoryBytes } = workerData as ThreadData
const stopRequested = new Int32Array(flag)
const port = parentPort
if (port === null) throw new Error('This file is the main file of a worker thread.')

const MAX_LINES = 1_000
const MAX_LINE_CHARACTERS = 2_000
/** Of the interpreter; the thread's own stack is larger, so that this limit is the one that is met. */
const STACK_BYTES = 256 * 1024
const JOBS_PER_LOOK = 1_000
/** What WebAssembly has taken it never gives back: a thread that grew beyond this is replaced. */
const KEPT_BYTES = 48 * 1024 * 1024

const PAGE_BYTES = 64 * 1024
/** What the interpreter's build asks for at its start. */
const FIRST_PAGES = 256

/** `AsyncFunction` puts two lines of its own before the author's. */
const LINES_BEFORE = 2

/**
 * Evaluated in each fresh context, before the author's code and beyond its reach: what the code does to `JSON` or
 * `console` is its own affair.
 */
const PRELUDE = `(function (write) {
  const { parse, stringify } = JSON
  const AsyncFunction = (async () => {}).constructor
  const show = (value) => {
    if (typeof value === 'string') return value
    if (value instanceof Error) return String(value)
    try { return stringify(value) ?? String(value) } catch { return String(value) }
  }
  const line = (level) => (...parts) => write(level, parts.map(show).join(' '))
  globalThis.console = { log: line('info'), info: line('info'), debug: line('debug'), warn: line('warn'), error: line('error') }
  const replace = (key, value) =>
    typeof value !== 'bigint' ? value
      : value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : String(value)
  return {
    compile: (code) => new AsyncFunction('input', code),
    input: (text) => parse(text),
    output: (value) => stringify(value, replace) ?? 'null',
  }
})`

/** The types of Node name what it makes, not the constructor. */
const { WebAssembly: webAssembly } = globalThis as unknown as {
  WebAssembly: {
    Memory: new (size: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer }
  }
}

/**
 * The memory itself is the limit: this build of QuickJS does not count what it allocates, and its own limit lets through
 * a hundred times as much (measured: 1.5 GB under a limit of 16 MB).
 */
const memory = new webAssembly.Memory({ initial: FIRST_PAGES, maximum: Math.floor(memoryBytes / PAGE_BYTES) })
const quickjs = await newQuickJSWASMModuleFromVariant(newVariant(RELEASE_SYNC, { wasmMemory: memory }))

port.on('message', (call: SandboxCall) => {
  let answer: SandboxEnd
  try {
    answer = perform(quickjs, call)
  } catch (error) {
    // The interpreter itself broke, for want of memory or of the host's stack.
    const message = error instanceof Error ? error.message : String(error)
    answer = {
      kind: 'failed',
      failure: { reason: isFull() ? 'out_of_memory' : 'crashed', message },
      retire: true,
    }
  }
  port.postMessage(answer)
})

function perform(module: QuickJSWASMModule, { code, input }: SandboxCall): SandboxEnd {
  const runtime = module.newRuntime()
  runtime.setMaxStackSize(STACK_BYTES)
  runtime.setInterruptHandler(() => Atomics.load(stopRequested, 0) === 1)
  const context = runtime.newContext()
  const answer = evaluate(context, code, input)
  // After it ran out of memory or was stopped midway, the runtime may not come apart cleanly.
  if (!answer.retire) {
    context.dispose()
    runtime.dispose()
  }
  return answer
}

class Failure extends Error {
  readonly failure: SandboxFailure
  constructor(failure: SandboxFailure) {
    super(failure.message)
    this.failure = failure
  }
}

function evaluate(context: QuickJSContext, code: string, input: string): SandboxEnd {
  const owned: QuickJSHandle[] = []
  const own = (handle: QuickJSHandle): QuickJSHandle => {
    owned.push(handle)
    return handle
  }
  const free = (): void => {
    for (const handle of owned) if (handle.alive) handle.dispose()
  }
  const call = (target: QuickJSHandle, ...values: QuickJSHandle[]): QuickJSHandle => {
    const called = context.callFunction(target, context.undefined, ...values)
    if (called.error) throw new Failure(failureOf(context, own(called.error)))
    return own(called.value)
  }
  try {
    const prelude = own(context.unwrapResult(context.evalCode(PRELUDE, 'weft.js')))
    const tools = call(prelude, own(context.newFunction('write', lineWriter(context))))
    const tool = (name: string): QuickJSHandle => own(context.getProp(tools, name))
    const body = call(tool('compile'), own(context.newString(code)))
    const value = call(tool('input'), own(context.newString(input)))
    const promise = call(body, value)
    const settled = settle(context, promise, own)
    const output = context.getString(call(tool('output'), settled))
    free()
    return { kind: 'done', output, retire: hasGrown() }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { failure } = error
    const retire = failure.reason === 'stopped' || failure.reason === 'out_of_memory'
    if (!retire) free()
    return { kind: 'failed', failure, retire: retire || hasGrown() }
  }
}

const hasGrown = (): boolean => memory.buffer.byteLength > KEPT_BYTES

/** Memory grows in steps; below this much, the next one failed. */
const isFull = (): boolean => memory.buffer.byteLength > memoryBytes * 0.75

function lineWriter(context: QuickJSContext): (level: QuickJSHandle, text: QuickJSHandle) => void {
  let lines = 0
  return (level, text) => {
    if (++lines > MAX_LINES) return
    const whole = context.getString(text)
    const line = lines === MAX_LINES ? `… no more than ${MAX_LINES} lines are kept` : whole
    port?.postMessage({
      kind: 'line',
      level: context.getString(level),
      text: line.slice(0, MAX_LINE_CHARACTERS),
    } satisfies SandboxAnswer)
  }
}

/** Runs what the code has promised itself until the promise is settled or nothing is left to run. */
function settle(
  context: QuickJSContext,
  promise: QuickJSHandle,
  own: (handle: QuickJSHandle) => QuickJSHandle,
): QuickJSHandle {
  const { runtime } = context
  while (runtime.hasPendingJob()) {
    const executed = runtime.executePendingJobs(JOBS_PER_LOOK)
    if (executed.error) throw new Failure(failureOf(context, own(executed.error)))
    if (Atomics.load(stopRequested, 0) === 1) throw new Failure({ reason: 'stopped', message: 'stopped' })
  }
  const state = context.getPromiseState(promise)
  switch (state.type) {
    case 'fulfilled':
      return own(state.value)
    case 'rejected':
      throw new Failure(failureOf(context, own(state.error)))
    case 'pending':
      throw new Failure({
        reason: 'failed',
        message:
          'The code awaits a promise that nothing will settle: there are no timers and no I/O in the sandbox.',
      })
  }
}

function failureOf(context: QuickJSContext, error: QuickJSHandle): SandboxFailure {
  if (Atomics.load(stopRequested, 0) === 1) return { reason: 'stopped', message: 'stopped' }
  const thrown: unknown = context.dump(error)
  // Without memory there is not even an error to throw.
  if ((thrown === null || thrown === undefined) && isFull())
    return { reason: 'out_of_memory', message: 'out of memory' }
  if (typeof thrown !== 'object' || thrown === null || !('message' in thrown)) {
    const shown = (JSON.stringify(thrown) ?? String(thrown)).slice(0, 300)
    return { reason: 'failed', message: `The code threw a value that is no Error: ${shown}` }
  }
  const { name, message, stack } = thrown as { name?: unknown; message?: unknown; stack?: unknown }
  if (message === 'out of memory') return { reason: 'out_of_memory', message: 'out of memory' }
  if (message === 'circular reference') return { reason: 'output', message: 'it contains itself (a cycle)' }
  return {
    reason: 'failed',
    message: `${String(name ?? 'Error')}: ${String(message)}`,
    ...placeIn(String(stack ?? '')),
  }
}

/** The topmost place in the author's code. */
function placeIn(stack: string): { line?: number; column?: number } {
  const found = /<input>:(\d+):(\d+)/.exec(stack)
  if (found === null) return {}
  const line = Number(found[1]) - LINES_BEFORE
  return line >= 1 ? { line, column: Number(found[2]) } : {}
}
