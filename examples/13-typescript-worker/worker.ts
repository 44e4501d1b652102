/** Performs the node type `text.slug` for Weft: any program that speaks HTTP can. Needs Node 24 and no packages. */
interface Task {
  readonly id: string
  readonly config: { readonly text: string; readonly pauseMs?: number }
}
interface Claim {
  readonly leaseMs: number
  readonly tasks: readonly Task[]
}

const { WEFT_URL = 'http://127.0.0.1:7400', WEFT_API_KEY } = process.env
const worker = `typescript-${process.pid}`
const TYPE = {
  type: 'text.slug',
  title: 'Make a slug',
  effect: 'pure',
  config: {
    type: 'object',
    properties: { text: { type: 'string' }, pauseMs: { type: 'integer', minimum: 0 } },
    required: ['text'],
    additionalProperties: false,
  },
  output: { type: 'object', properties: { slug: { type: 'string' } }, required: ['slug'] },
}

async function call<Answer>(path: string, body: object): Promise<Answer> {
  const response = await fetch(`${WEFT_URL}/api/v1${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${WEFT_API_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const answer = await response.text()
  if (!response.ok) throw new Error(`${path}: ${response.status} ${answer}`)
  return JSON.parse(answer)
}

async function perform({ text, pauseMs = 0 }: Task['config'], signal: AbortSignal): Promise<object> {
  await pause(pauseMs)
  signal.throwIfAborted()
  return { slug: text.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-') }
}

async function work(task: Task, leaseMs: number): Promise<void> {
  const controller = new AbortController()
  const beating = setInterval(async () => {
    const { abort, lost } = await call<{ abort: string[]; lost: string[] }>('/tasks/heartbeat', {
      worker,
      tasks: [task.id],
    }).catch(() => ({ abort: [], lost: [] }))
    if (abort.length > 0 || lost.length > 0) controller.abort()
  }, leaseMs / 3)
  const name = { worker, task: task.id }
  try {
    const output = await perform(task.config, controller.signal)
    await call('/tasks/complete', { ...name, output })
  } catch (error) {
    await call('/tasks/fail', {
      ...name,
      error: { message: String(error), retryable: !controller.signal.aborted },
    })
  } finally {
    clearInterval(beating)
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

await call('/node-types', { types: [TYPE] })
for (;;) {
  try {
    const { tasks, leaseMs } = await call<Claim>('/tasks/claim', { worker, types: [TYPE.type], max: 4 })
    for (const { id } of tasks) console.log(`claimed ${id}`)
    await Promise.all(tasks.map((task) => work(task, leaseMs)))
  } catch (error) {
    console.error(error)
    await pause(1_000)
  }
}
