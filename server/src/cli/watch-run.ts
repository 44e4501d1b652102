/**
 * Follows a run to its end: draws it where the output is a terminal, writes a line per event where it is not.
 */
import {
  compile,
  type Definition,
  type Graph,
  type NodeTypeInfo,
  normaliseDefinition,
  type RunEvent,
} from '@weft/engine'
import type { Client, FollowOptions } from './client.ts'
import type { Session } from './context.ts'
import { createRunPicture, type RunPicture } from './draw.ts'
import { CliError, EXIT } from './exit.ts'
import { openScreen } from './screen.ts'
import { eventLine } from './sentences.ts'
import type { NodeTypePage, RunDetail, RunGraph } from './shapes.ts'

export interface WatchOptions {
  /** Stops early: the run goes on by itself. */
  readonly signal?: AbortSignal
  /** Shows nothing, only waits. */
  readonly isSilent?: boolean
  /** Ends the watch when this is true of the picture. */
  readonly until?: (picture: RunPicture) => boolean
}

/** The picture as it was at the end; its state is `null` when nothing was seen. */
export async function watchRun(
  session: Session,
  client: Client,
  runId: string,
  options: WatchOptions = {},
): Promise<RunPicture> {
  const types = await nodeTypes(client)
  const loadGraph = async (version?: string) =>
    compileGraph(
      await client.call<RunGraph>('GET', `/api/v1/runs/${runId}/graph`, { query: { version } }),
      types,
    )
  const current = await client.call<RunDetail>('GET', `/api/v1/runs/${runId}`)
  const picture = createRunPicture({
    runId,
    // The log begins with the base, whatever patches came since.
    graph: await loadGraph(current.versions[0]),
    isColoured: session.isColoured,
    taken: current.steps.filter((step) => step.status === 'running').map((step) => step.id),
  })
  const { clock, terminal } = session.context
  const screen =
    session.isDrawing && !options.isSilent
      ? openScreen(terminal.out, clock, (size) => picture.lines(size, clock.now()))
      : null
  const tell = (text: string): void => {
    if (screen) screen.print([session.paint('dim', text)])
    else session.notice(text)
  }
  const interrupted = new AbortController()
  const onInterrupt = () => interrupted.abort()
  if (screen) process.once('SIGINT', onInterrupt)
  try {
    const signal = AbortSignal.any([interrupted.signal, ...(options.signal ? [options.signal] : [])])
    const following: FollowOptions = { signal, onAway: (isAway) => tell(awayText(client, isAway)) }
    for await (const item of client.events(runId, 0, following)) {
      if (item.kind === 'attempt') picture.attempt(item.news)
      else {
        const { event } = item
        if (event.type === 'run.patched')
          picture.useGraph(await client.patiently(() => loadGraph(event.after), following))
        picture.event(item.event)
        if (!screen && !options.isSilent) report(session, item.seq, item.event)
      }
      screen?.refresh()
      if (options.until?.(picture)) break
    }
  } catch (error) {
    if (!(error instanceof CliError) || error.exitCode !== EXIT.unreachable) throw error
    throw new CliError(
      EXIT.unreachable,
      `${error.message} Watch the run again when the server is back: weft logs ${runId} --follow.`,
    )
  } finally {
    process.off('SIGINT', onInterrupt)
    screen?.close()
  }
  if (interrupted.signal.aborted) {
    throw new CliError(
      130,
      `The run goes on without you. Watch it again: weft logs ${runId} --follow. End it: weft cancel ${runId}.`,
    )
  }
  return picture
}

const awayText = ({ address }: Client, isAway: boolean): string =>
  isAway
    ? `The server at ${address.url} does not answer any more. Its runs go on when it is back; trying again for two minutes …`
    : 'The server is back; nothing was missed.'

function report(session: Session, seq: number, event: RunEvent): void {
  if (session.isJson) session.line(JSON.stringify({ seq, ...event }))
  else session.line(eventLine(event, session.paint))
}

export async function nodeTypes(client: Client): Promise<ReadonlyMap<string, NodeTypeInfo>> {
  const { items } = await client.call<NodeTypePage>('GET', '/api/v1/node-types')
  return new Map(items.map((type) => [type.type, type]))
}

function compileGraph(answer: RunGraph, types: ReadonlyMap<string, NodeTypeInfo>): Graph {
  const normal = normaliseDefinition(answer.definition)
  const result = normal.ok
    ? compile(normal.definition as Definition, types, { onUnknownType: 'skip' })
    : normal
  if (result.ok) return result.graph
  throw new CliError(
    EXIT.unreachable,
    `The server’s definition of this run cannot be read by this version of weft: ${result.problems[0]?.message ?? ''} Use the same version on both sides.`,
  )
}
