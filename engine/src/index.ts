/** The public surface of the engine. */

export { matchHolds } from './compile/match.ts'
export { compile } from './compile.ts'
export { CONTROL_NODE_TYPES } from './control-types.ts'
export { type PatchedFork, patchFork } from './decide/forking.ts'
export { checkPatch } from './decide/patching.ts'
export {
  type ClosedWait,
  CONTROL_READ_LIMIT,
  type DecideContext,
  type Decision,
  decide,
  INLINE_LIMIT,
  type OpenedWait,
} from './decide.ts'
export type * from './definition.ts'
export { parseDuration } from './duration.ts'
export { attemptOfTask, type Effect, type ItemValue, type Task, type TaskScope, taskId } from './effect.ts'
export { InvalidError, type Problem, type StepError, type Warning } from './errors.ts'
export {
  type BlobRef,
  type EventType,
  type ForkLink,
  type Holds,
  isBlobRef,
  KNOWN_EVENTS,
  type ParentLink,
  type Proposer,
  type Route,
  type RunEvent,
  type WaitSpec,
} from './event.ts'
export { evolve, fold, type GraphLookup, type RunStarted, start } from './evolve.ts'
export * from './expression/index.ts'
export { type ForkOutcome, type ForkPoint, type ForkTarget, forkEvents } from './fork.ts'
export { DEFAULT_LIMITS, type Edge, type Graph, type GraphNode, type RunLimits } from './graph.ts'
export { canonicalJson, hashBytes, hashJson, hashText } from './hash.ts'
export { childRunId, failureRunId } from './identity.ts'
export {
  escapePointer,
  isObject,
  type Json,
  type JsonObject,
  jsonEquals,
  MAX_JSON_DEPTH,
  type Normalised,
  normalise,
} from './json.ts'
export {
  CONTROL_TYPES,
  type ControlType,
  DEFAULT_RETRY,
  type Effect as NodeEffect,
  NO_RETRY,
  type NodeTypeInfo,
  type NodeTypes,
  type RetryPolicy,
} from './node-type.ts'
export { type ChildReport, childReport, nextWake, outstanding, owesWork } from './outstanding.ts'
export { applyPatch, inversePatch, overlay, type Preview, preview } from './patch.ts'
export {
  isFinished,
  itemKey,
  parseKey,
  type RunState,
  type RunStatus,
  type StepState,
  type StepStatus,
  type WaitsFor,
} from './run.ts'
export { checkAgainstSchema } from './schema-check.ts'
export type { AttemptName, Command, Signal, Verdict } from './signal.ts'
export { formatProblem, validateDefinition, validateSource } from './validate.ts'
export {
  type Explanation,
  explain,
  type ReviewView,
  type RunView,
  type StepView,
  statusOf,
  viewRun,
} from './view.ts'
export { normaliseDefinition, workflowJsonSchema } from './workflow.ts'
