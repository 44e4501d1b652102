/**
 * A run as a picture in the terminal: nodes in topological order with the rails of their edges, each with its state,
 * times, retries, items and waits.
 *
 * Owns: what is shown. It folds the run's events with the engine itself, so that the picture is what the log says
 * (R1); which attempts a worker holds comes from live messages, which may be lost: a step may then look queued a little
 * longer than it is. It does not write to the terminal (`screen.ts` does) and does not ask a server (`follow.ts` does).
 */
import {
  evolve,
  type Graph,
  isFinished,
  parseKey,
  type ReviewView,
  type RunEvent,
  type RunState,
  type RunView,
  type StepError,
  type StepView,
  start,
  viewRun,
} from '@weft/engine'
import {
  type Colour,
  countdownText,
  createPaint,
  durationText,
  joinPieces,
  type Paint,
  type Piece,
  pad,
  plain,
  widthOf,
} from './paint.ts'
import { layRails, type Rail } from './rails.ts'

const MAX_RAIL_COLUMNS = 10
const MAX_NAME_WIDTH = 30
const BAR_WIDTH = 14
const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const SPINNER_FRAME_MS = 100

/** A message about an attempt that a worker performs, as the live stream carries it. */
export interface AttemptNews {
  readonly key: string
  readonly attempt: number
  readonly state: 'started' | 'progress' | 'log'
  readonly percent?: number
  readonly text?: string
}

export interface RunPicture {
  /** Folds the next event. For `run.patched`, hand the new graph to `useGraph` before. */
  event(event: RunEvent): void
  attempt(news: AttemptNews): void
  useGraph(graph: Graph): void
  /** Lines of at most `width` columns and, when given, at most `height` lines. */
  lines(size: { readonly width: number; readonly height?: number }, now: number): string[]
  readonly state: RunState | null
  readonly view: RunView | null
  readonly isFinished: boolean
}

export interface PictureOptions {
  readonly runId: string
  readonly graph: Graph
  readonly isColoured: boolean
  /** Keys that a worker holds at the moment, when the picture begins in the middle of a run. */
  readonly taken?: Iterable<string>
}

export function createRunPicture(options: PictureOptions): RunPicture {
  const graphs = new Map([[options.graph.hash, options.graph]])
  const paint = createPaint(options.isColoured)
  const attempts = new Map<string, AttemptNews>()
  const lastFailures = new Map<string, StepError>()
  /** Steps that patches brought, with who did it and why. */
  const woven = new Map<string, string>()
  let assumed = new Set(options.taken)
  let state: RunState | null = null

  const graphOf = (hash: string): Graph => {
    const graph = graphs.get(hash)
    if (!graph) throw new Error(`the picture was not given the graph ${hash}`)
    return graph
  }
  const taken = (key: string): boolean => attempts.has(key) || assumed.has(key)
  const view = (): RunView | null => (state ? viewRun(state, taken) : null)

  return {
    event(event) {
      if (event.type === 'run.started') state = start(options.runId, event, graphOf(event.graph))
      else if (state) {
        const before = event.type === 'run.patched' ? new Set(state.steps.keys()) : null
        evolve(state, event, graphOf)
        if (before && event.type === 'run.patched')
          for (const id of state.steps.keys())
            if (!before.has(id)) woven.set(id, `${plain(event.actor)}: ${plain(event.reason)}`)
      }
      if ('key' in event) {
        attempts.delete(event.key)
        assumed.delete(event.key)
        if (event.type === 'attempt.failed') lastFailures.set(event.key, event.error)
        else lastFailures.delete(event.key)
      }
      if (state && isFinished(state)) assumed = new Set()
    },
    attempt(news) {
      attempts.set(news.key, news.state === 'started' ? news : { ...attempts.get(news.key), ...news })
    },
    useGraph: (graph) => void graphs.set(graph.hash, graph),
    lines(size, now) {
      const current = view()
      if (!state || !current)
        return [
          joinPieces(
            [{ text: `run ${shortId(options.runId)} is about to start`, colour: 'dim' }],
            size.width,
            paint,
          ),
        ]
      return draw({ state, view: current, attempts, lastFailures, woven, now, paint, ...size })
    },
    get state() {
      return state
    },
    get view() {
      return view()
    },
    get isFinished() {
      return state !== null && isFinished(state)
    },
  }
}

/** The end of an id, which tells runs apart (the front is the time). */
export const shortId = (id: string): string => id.slice(-8)

interface Scene {
  readonly state: RunState
  readonly view: RunView
  readonly attempts: ReadonlyMap<string, AttemptNews>
  readonly lastFailures: ReadonlyMap<string, StepError>
  readonly woven: ReadonlyMap<string, string>
  readonly now: number
  readonly paint: Paint
  readonly width: number
  readonly height?: number
}

function draw(scene: Scene): string[] {
  const { view, width, height, paint } = scene
  const head = joinPieces(headOf(scene), width, paint)
  const rails = layRails(
    view.steps.map((step) => ({
      id: step.id,
      targets: scene.state.graph.nodes.get(step.id)?.outgoing.map((edge) => edge.to) ?? [],
    })),
    MAX_RAIL_COLUMNS,
  )
  const top = [
    head,
    ...view.reviews.map((review) => joinPieces(reviewPieces(review, scene.now), width, paint)),
  ]
  const lines = [...top, ...stepLines(scene, view.steps, rails)]
  if (height === undefined || lines.length <= height) return lines
  return [...top, ...crowdedLines(scene, height - top.length)]
}

const reviewPieces = ({ id, actor, reason, expiresAt }: ReviewView, now: number): Piece[] => [
  { text: '◆ ', colour: 'yellow' },
  { text: `a patch by ${plain(actor)} waits for review: ${plain(reason)}`, colour: 'yellow' },
  { text: `${expiresAt === null ? '' : `, ${countdownText(expiresAt - now)} left`}  ${id}`, colour: 'dim' },
]

function headOf({ view, now }: Scene): Piece[] {
  const settled = view.steps.filter((step) => step.settledAt !== null).length
  const time = durationText((view.finishedAt ?? now) - view.startedAt)
  const waiting =
    view.status === 'waiting' && view.waitingFor.length > 0 ? ` for ${view.waitingFor.join(', ')}` : ''
  return [
    { text: plain(view.workflow.name), colour: 'bold' },
    { text: `  …${shortId(view.id)}  `, colour: 'dim' },
    { text: `${view.status}${waiting}`, colour: RUN_COLOURS[view.status] },
    { text: `  ${settled}/${view.steps.length} steps  ${time}`, colour: 'dim' },
  ]
}

const RUN_COLOURS: Readonly<Record<RunView['status'], Colour>> = {
  queued: 'dim',
  running: 'cyan',
  waiting: 'yellow',
  paused: 'yellow',
  stopping: 'yellow',
  completed: 'green',
  failed: 'red',
  cancelled: 'magenta',
}

function stepLines(scene: Scene, steps: readonly StepView[], rails: readonly Rail[] | null): string[] {
  const { width, paint } = scene
  const nameWidth = Math.min(MAX_NAME_WIDTH, Math.max(...steps.map((step) => widthOf(step.id))))
  const railWidth = rails
    ? Math.max(...rails.map((rail) => widthOf(rail.before) + 1 + widthOf(rail.after)))
    : 1
  const lines: string[] = []
  for (const [index, step] of steps.entries()) {
    const rail = rails?.[index]
    const { glyph, colour } = markOf(scene, step)
    const isFaint = step.status === 'pending' || step.status === 'skipped'
    const nameColour = scene.woven.has(step.id)
      ? { colour: 'green' as const }
      : isFaint
        ? { colour: 'dim' as const }
        : {}
    lines.push(
      joinPieces(
        [
          { text: rail ? ` ${rail.before}` : ' ', colour: 'dim' },
          { text: glyph, colour },
          {
            text: pad(rail ? ` ${rail.after}` : '', railWidth - widthOf(rail?.before ?? '') + 1),
            colour: 'dim',
          },
          { text: pad(step.id, nameWidth), ...nameColour },
          { text: '  ' },
          ...detailsOf(scene, step),
        ],
        width,
        paint,
      ),
    )
    if (rail?.connector) lines.push(joinPieces([{ text: ` ${rail.connector}`, colour: 'dim' }], width, paint))
  }
  return lines
}

/** More steps than lines: those that something happens to, then how many there are of the others. */
function crowdedLines(scene: Scene, height: number): string[] {
  const { steps } = scene.view
  const isBusy = (step: StepView) =>
    step.status === 'running' || step.status === 'waiting' || step.status === 'ready'
  const recent = steps
    .filter((step) => step.settledAt !== null && step.status !== 'skipped')
    .sort((a, b) => (b.settledAt ?? 0) - (a.settledAt ?? 0))
  const chosen = new Set(
    [...steps.filter((step) => step.status === 'failed'), ...steps.filter(isBusy), ...recent].slice(
      0,
      Math.max(1, height - 1),
    ),
  )
  const counts = new Map<string, number>()
  for (const step of steps) if (!chosen.has(step)) counts.set(step.status, (counts.get(step.status) ?? 0) + 1)
  const rest = [...counts].map(([status, count]) => `${count} ${status}`).join(', ')
  const shown = steps.filter((step) => chosen.has(step))
  return [
    ...stepLines(scene, shown, null),
    joinPieces([{ text: `   and ${rest}`, colour: 'dim' }], scene.width, scene.paint),
  ]
}

function markOf(scene: Scene, step: StepView): { glyph: string; colour: Colour } {
  switch (step.status) {
    case 'pending':
      return scene.woven.has(step.id) ? { glyph: '+', colour: 'green' } : { glyph: '○', colour: 'dim' }
    case 'ready':
      return { glyph: '◌', colour: 'cyan' }
    case 'running':
      return {
        glyph: SPINNER[Math.floor(scene.now / SPINNER_FRAME_MS) % SPINNER.length] as string,
        colour: 'cyan',
      }
    case 'waiting':
      if (step.waitsFor.includes('approval')) return { glyph: '◆', colour: 'yellow' }
      return { glyph: latestFailure(scene, step.id)[1] ? '↻' : '◷', colour: 'yellow' }
    case 'completed':
      return { glyph: '✔', colour: 'green' }
    case 'failed':
      return { glyph: '✘', colour: step.handled ? 'yellow' : 'red' }
    case 'skipped':
      return { glyph: '–', colour: 'dim' }
    case 'cancelled':
      return { glyph: '⊘', colour: 'magenta' }
  }
}

function detailsOf(scene: Scene, step: StepView): Piece[] {
  const pieces: Piece[] = []
  const add = (text: string, colour?: Colour) => {
    if (text) pieces.push({ text: pieces.length > 0 ? `  ${text}` : text, ...(colour ? { colour } : {}) })
  }
  if (step.items && step.status !== 'pending') addItems(step, add)
  if (step.settledAt !== null) {
    if (step.status === 'skipped') add('skipped', 'dim')
    else if (step.settledAt >= (step.reachedAt ?? step.settledAt))
      add(durationText(step.settledAt - (step.startedAt ?? step.reachedAt ?? step.settledAt)), 'dim')
    if (step.label) add(step.label, 'blue')
    if (step.attempts > 1) add(`${step.attempts} attempts`, 'yellow')
    if (step.error) add(errorText(step.error), step.handled ? 'yellow' : 'red')
    else if (step.actor) add(`by ${plain(step.actor)}`, 'dim')
    return pieces
  }
  if (step.status === 'pending') {
    const by = scene.woven.get(step.id)
    return [
      { text: step.type, colour: 'dim' },
      ...(by === undefined ? [] : [{ text: `  woven in by ${by}`, colour: 'green' as const }]),
    ]
  }
  if (step.round > 1) add(`round ${step.round}`, 'blue')
  addActivity(scene, step, add)
  return pieces
}

function addItems(step: StepView, add: (text: string, colour?: Colour) => void): void {
  const { count, completed, failed, live } = step.items as NonNullable<StepView['items']>
  const filled = count === 0 ? BAR_WIDTH : Math.floor((BAR_WIDTH * (completed + failed)) / count)
  add('█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled), failed > 0 ? 'yellow' : 'green')
  add(`${completed}/${count}`)
  if (failed > 0) add(`${failed} failed`, 'red')
  if (live > 0 && step.settledAt === null) add(`${live} in flight`, 'cyan')
}

function addActivity(scene: Scene, step: StepView, add: (text: string, colour?: Colour) => void): void {
  const { now, state } = scene
  const unit = state.steps.get(step.id)?.unit
  if (unit?.activity.phase === 'waiting') {
    const { wait, wakeAt } = unit.activity
    const until = wakeAt === null ? '' : countdownText(wakeAt - now)
    if (wait.kind === 'timer') add(`goes on in ${until}`, 'yellow')
    else if (wait.kind === 'approval')
      add(
        `“${plain(wait.title)}” waits for ${plain(wait.assignees?.join(', ') || 'a person')}${until && `, ${until} left`}`,
        'yellow',
      )
    else if (wait.kind === 'message')
      add(`waits for message ${plain(wait.name)}${until && `, ${until} left`}`, 'yellow')
    else add(`child run …${shortId(wait.childId)}`, 'cyan')
    return
  }
  const [key, failure] = latestFailure(scene, step.id)
  if (failure && step.wakeAt !== null && step.wakeAt > now) {
    add(
      `${key === step.id ? '' : `${key} `}attempt ${(unit?.attempt ?? 2) - 1} failed, next in ${countdownText(step.wakeAt - now)}`,
      'yellow',
    )
    add(errorText(failure), 'dim')
    return
  }
  if (unit?.activity.phase === 'backoff' && step.status === 'waiting') {
    add(`attempt ${unit.attempt} is with the workers`, 'yellow')
    return
  }
  if (unit?.activity.phase === 'between' && step.wakeAt !== null)
    add(`next round in ${countdownText(step.wakeAt - now)}`, 'yellow')
  if (step.status === 'running' && unit) {
    add(durationText(now - unit.since), 'dim')
    if (unit.attempt > 1) add(`attempt ${unit.attempt}`, 'yellow')
    const news = scene.attempts.get(step.id)
    if (news?.percent !== undefined) add(`${Math.round(news.percent)} %`, 'cyan')
    if (news?.text) add(plain(news.text), 'dim')
  } else if (step.status === 'ready' && !step.items) {
    add('queued', 'dim')
    if (failure) add(errorText(failure), 'dim')
  }
}

/** The last failed attempt of the step, or of one of its items. */
function latestFailure({ lastFailures }: Scene, id: string): [string, StepError | undefined] {
  const own = lastFailures.get(id)
  if (own) return [id, own]
  for (const [key, error] of lastFailures) if (parseKey(key).id === id) return [key, error]
  return [id, undefined]
}

const errorText = (error: StepError): string => `${error.code}: ${plain(error.message)}`
