/** A run followed to its end: as a picture that moves, or as plain lines. */
import { compile, type Definition, type Graph, type NodeTypeInfo, parseKey, type RunView } from '@weft/engine'
import type { Client } from '../../server/src/cli/client.ts'
import { createRunPicture, type RunPicture } from '../../server/src/cli/draw.ts'
import { cut } from '../../server/src/cli/paint.ts'
import { eventLine } from '../../server/src/cli/sentences.ts'
import type { Paper } from './paper.ts'

/** Of a line about an event, where no terminal cuts it. */
const LINE_WIDTH = 118

export interface Following {
  /** The run as it is known at the moment; null until its first event has come. */
  view(): RunView | null
  /** Resolves with the run as it ended. */
  readonly finished: Promise<RunView>
  /** Shows one more line below the picture, or none. */
  note(text: string): void
}

export async function follow(runId: string, weft: Client, paper: Paper): Promise<Following> {
  const graph = await graphOf(runId, weft)
  const picture = createRunPicture({ runId, graph, isColoured: paper.isColoured })
  return paper.isTerminal ? draw(runId, picture, weft, paper) : write(runId, picture, weft, paper)
}

function draw(runId: string, picture: RunPicture, weft: Client, paper: Paper): Following {
  let note = ''
  const screen = paper.picture((width) => [
    ...picture.lines({ width }, Date.now()),
    '',
    ...(note === '' ? [] : [note]),
  ])
  async function read(): Promise<RunView> {
    try {
      for await (const item of weft.events(runId)) {
        if (item.kind === 'event') {
          if (item.event.type === 'run.patched')
            picture.useGraph(await graphOf(runId, weft, item.event.after))
          picture.event(item.event)
        } else picture.attempt(item.news)
        screen.refresh()
      }
      return viewOf(runId, picture)
    } finally {
      screen.close()
    }
  }
  return {
    view: () => picture.view,
    finished: read(),
    note(text) {
      note = text
      screen.refresh()
    },
  }
}

/** Items of a `forEach` are left out: the step says when all of them are done. */
function write(runId: string, picture: RunPicture, weft: Client, paper: Paper): Following {
  async function read(): Promise<RunView> {
    for await (const item of weft.events(runId)) {
      if (item.kind !== 'event') continue
      if (item.event.type === 'run.patched') picture.useGraph(await graphOf(runId, weft, item.event.after))
      picture.event(item.event)
      if (!('key' in item.event) || parseKey(item.event.key).index === null) {
        paper.line(cut(eventLine(item.event, paper.paint), LINE_WIDTH))
      }
    }
    return viewOf(runId, picture)
  }
  return { view: () => picture.view, finished: read(), note: () => {} }
}

function viewOf(runId: string, { view }: RunPicture): RunView {
  if (view === null) throw new Error(`run ${runId} was followed, but none of its events came`)
  return view
}

async function graphOf(runId: string, weft: Client, version?: string): Promise<Graph> {
  const [{ definition }, types] = await Promise.all([
    weft.call<{ definition: Definition }>('GET', `/api/v1/runs/${runId}/graph`, { query: { version } }),
    weft.call<{ items: NodeTypeInfo[] }>('GET', '/api/v1/node-types'),
  ])
  const compiled = compile(definition, new Map(types.items.map((type) => [type.type, type])), {
    onUnknownType: 'skip',
  })
  if (!compiled.ok) throw new Error(`the definition of run ${runId} does not compile here`)
  return compiled.graph
}
