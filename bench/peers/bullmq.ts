/**
 * BullMQ flows: three jobs, each the child of the next, on one queue. Redis only: what it answered may be lost with the
 * last second before a crash, so it stands in the table as a queue and not as a durable peer.
 */
import { FlowProducer, Queue, Worker } from 'bullmq'
import type { Peer, Servers } from './peer.ts'

const CONCURRENCY = 100
const QUEUE = 'chain3'

interface StepData {
  readonly order: number
}

export async function start({ redisUrl }: Servers): Promise<Peer> {
  if (redisUrl === null) throw new Error('there is no redis-server on this machine')
  const connection = { url: redisUrl, maxRetriesPerRequest: null }
  const waiting = new Map<number, { resolve(): void; reject(error: Error): void }>()
  const worker = new Worker<StepData, string>(
    QUEUE,
    async (job) => {
      if (job.name === 'first') return `order ${job.data.order}`
      const [before] = Object.values(await job.getChildrenValues<string>())
      return job.name === 'second' ? `${before}, checked` : `${before}, sent`
    },
    { connection, concurrency: CONCURRENCY },
  )
  worker.on('completed', (job, result) => {
    if (job.name !== 'third') return
    const { order } = job.data
    const waiter = waiting.get(order)
    waiting.delete(order)
    if (result === `order ${order}, checked, sent`) waiter?.resolve()
    else waiter?.reject(new Error(`BullMQ answered ${result}`))
  })
  worker.on('failed', (job, error) => void (job && waiting.get(job.data.order)?.reject(error)))
  worker.on('error', (error) => process.stderr.write(`BullMQ: ${error.message}\n`))
  await worker.waitUntilReady()
  const flows = new FlowProducer({ connection })
  const queue = new Queue(QUEUE, { connection })
  return {
    durability: 'Redis alone, appendonly with appendfsync everysec: up to a second may be lost',
    tuning: `one worker with concurrency ${CONCURRENCY}; ends are heard in process, not through QueueEvents`,
    async run(order) {
      const ended = new Promise<void>((resolve, reject) => void waiting.set(order, { resolve, reject }))
      const job = { queueName: QUEUE, data: { order } }
      await flows.add({
        ...job,
        name: 'third',
        children: [{ ...job, name: 'second', children: [{ ...job, name: 'first' }] }],
      })
      await ended
    },
    async recorded() {
      const steps = await queue.getCompletedCount()
      return { runs: steps / 3, steps }
    },
    async stop() {
      await worker.close()
      await flows.close()
      await queue.close()
    },
  }
}
