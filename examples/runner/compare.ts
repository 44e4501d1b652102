/** Says in which ways a run differs from what was expected of it. No difference: it matches. */
import { isDeepStrictEqual } from 'node:util'
import type { Expected, ExpectedRequests } from './example.ts'

export interface Observed {
  readonly status: string
  readonly output: unknown
  readonly error: string | null
  readonly steps: Readonly<Record<string, string>>
  readonly attempts: Readonly<Record<string, number>>
  readonly labels: Readonly<Record<string, string>>
  readonly children: Readonly<
    Record<string, { readonly status: string; readonly steps: Readonly<Record<string, string>> }>
  >
  readonly requests: readonly { readonly method: string; readonly path: string }[]
  readonly slack: readonly string[]
}

export function differences(expected: Expected, observed: Observed): string[] {
  const found: string[] = []
  const same = (what: string, wanted: unknown, got: unknown): void => {
    if (!isDeepStrictEqual(wanted, got)) {
      found.push(`${what}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`)
    }
  }
  same('status', expected.status, observed.status)
  same('output', expected.output, observed.output)
  same('error', expected.error ?? null, observed.error)
  sameEntries('step', expected.steps, observed.steps)
  for (const [step, count] of Object.entries(expected.attempts ?? {})) {
    same(`attempts of ${step}`, count, observed.attempts[step])
  }
  for (const [step, label] of Object.entries(expected.labels ?? {})) {
    same(`label of ${step}`, label, observed.labels[step])
  }
  sameEntries('child', statuses(expected.children ?? {}), statuses(observed.children))
  for (const [key, child] of Object.entries(expected.children ?? {})) {
    sameEntries(`child ${key}, step`, child.steps, observed.children[key]?.steps ?? {})
  }
  same('Slack messages', expected.slack ?? [], observed.slack)
  found.push(...requestDifferences(expected.requests, observed.requests))
  return found

  function sameEntries(
    what: string,
    wanted: Readonly<Record<string, string>>,
    got: Readonly<Record<string, string>>,
  ): void {
    for (const key of new Set([...Object.keys(wanted), ...Object.keys(got)])) {
      same(`${what} ${key}`, wanted[key] ?? 'none', got[key] ?? 'none')
    }
  }
}

const statuses = (runs: Observed['children']): Record<string, string> =>
  Object.fromEntries(Object.entries(runs).map(([key, { status }]) => [key, status]))

function requestDifferences(expected: readonly ExpectedRequests[], observed: Observed['requests']): string[] {
  const found: string[] = []
  const unexpected = new Set(observed)
  for (const { method, path, count, paths } of expected) {
    const pattern = new RegExp(`^${path.replace(/[^\w*/-]/g, '\\$&').replaceAll('*', '[^/]*')}$`)
    const calls = [...unexpected].filter((request) => request.method === method && pattern.test(request.path))
    for (const call of calls) unexpected.delete(call)
    if (calls.length !== count)
      found.push(`${method} ${path}: expected ${count} requests, saw ${calls.length}`)
    const different = new Set(calls.map((call) => call.path)).size
    if (paths !== undefined && different !== paths) {
      found.push(`${method} ${path}: expected ${paths} different paths, saw ${different}`)
    }
  }
  const others = Map.groupBy(unexpected, ({ method, path }) => `${method} ${path}`)
  for (const [request, calls] of others)
    found.push(`${request}: expected no such request, saw ${calls.length}`)
  return found
}
