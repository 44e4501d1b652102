/**
 * What live connections carry, as JSON text. An event that comes by the live lane is the same object for everybody who
 * follows its run: it is written once, however many they are.
 */
import type { RunEvent } from '@weft/engine'
import type { AttemptMessage, WorkspaceNews } from './follow.ts'

const written = new WeakMap<object, string>()

function once(message: object, write: () => string): string {
  let text = written.get(message)
  if (text === undefined) {
    text = write()
    written.set(message, text)
  }
  return text
}

export const eventText = ({ seq, event }: { readonly seq: number; readonly event: RunEvent }): string =>
  once(event, () => JSON.stringify({ seq, ...event }))

export const attemptText = (message: AttemptMessage): string =>
  once(message, () => {
    const { kind, workspace, ...rest } = message
    return JSON.stringify(rest)
  })

export const hintText = ({ runId, seq, event }: Extract<WorkspaceNews, { kind: 'hint' }>): string =>
  JSON.stringify({ runId, seq, event: event.type, at: event.at })
