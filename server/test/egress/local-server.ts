/** Real servers on 127.0.0.1 for the tests of the guard, closed with the test. */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { createEgress, type Egress, EgressError, type EgressOptions } from '../../src/egress/egress.ts'

export async function listen(server: Server): Promise<number> {
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  onTestFinished(() => {
    server.closeAllConnections()
    return new Promise<void>((closed) => server.close(() => closed()))
  })
  return (server.address() as AddressInfo).port
}

/** The port of a server that answers with the listener. */
export const serve = (listener: RequestListener): Promise<number> => listen(createServer(listener))

export function egressWith(options: Partial<EgressOptions> & { allow: string[] }): Egress {
  const egress = createEgress(options)
  onTestFinished(() => egress.close())
  return egress
}

/** Requests that must not be sent: a resolver that any of them reaches says so. */
export const noResolver = async (host: string): Promise<string[]> => {
  throw new Error(`${host} was resolved`)
}

export async function refusalOf(request: Promise<unknown>): Promise<EgressError> {
  try {
    await request
  } catch (error) {
    if (error instanceof EgressError) return error
    throw error
  }
  throw new Error('the request went through')
}

export const text = (body: Uint8Array): string => Buffer.from(body).toString()
