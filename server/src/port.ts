/**
 * The ports that this process is to listen on, judged before anything else starts: a database that is initialised first keeps a
 * person waiting for a sentence that was known from the beginning.
 */
import { createServer } from 'node:net'

interface Address {
  readonly host: string
  readonly port: number
  /** The setting that names the port. */
  readonly variable: 'WEFT_PORT' | 'WEFT_OPS_PORT'
}

export class PortInUse extends Error {
  override readonly name = 'PortInUse'
  readonly code = 'port_in_use'
  constructor({ host, port, variable }: Address) {
    super(
      `port ${port} of ${host} is in use by another program. Stop that one, or choose another port: ${variable}=${port + 1}, or ${variable}=0 for a free one.`,
    )
  }
}

/** The sentence for a port that is taken; `null` for any other failure to listen. */
export const portInUse = (error: unknown, address: Address): PortInUse | null =>
  (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? new PortInUse(address) : null

/** Rejects with `PortInUse`. Another program may still take the port until the API listens. */
export async function requireFreePort(address: Address): Promise<void> {
  if (address.port === 0) return
  const probe = createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (error) => reject(portInUse(error, address) ?? error))
    probe.listen({ host: address.host, port: address.port }, resolve)
  })
  await new Promise((resolve) => probe.close(resolve))
}
