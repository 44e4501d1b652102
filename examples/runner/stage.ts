/** A Weft and a service of their own, on a data directory that goes with them: where examples are run and compared. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ServiceProcess } from './service-process.ts'
import { WeftProcess } from './weft-process.ts'

/** The node types that example 10 brings. */
const OWN_NODES = join(import.meta.dirname, '..', '10-own-node-type', 'nodes')

export interface Stage extends AsyncDisposable {
  readonly weft: WeftProcess
  readonly service: ServiceProcess
}

/** `more`: of the environment of Weft, such as a database that is given. */
export async function startStage(more: Readonly<Record<string, string>> = {}): Promise<Stage> {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'weft-examples-'))
  const service = await ServiceProcess.start(0)
  const { PATH, HOME } = process.env
  const weft = new WeftProcess({
    dataDirectory,
    environment: {
      PATH,
      HOME,
      WEFT_PORT: '0',
      WEFT_NODES: OWN_NODES,
      WEFT_EGRESS_ALLOW: `127.0.0.1:${service.port}`,
      WEFT_CREDENTIAL_TEAM_SLACK: service.slackCredential,
      WEFT_LOG_LEVEL: 'warn',
      ...more,
    },
  })
  const end = async () => {
    await weft.stop()
    await service.stop()
    await rm(dataDirectory, { recursive: true, force: true })
  }
  try {
    await weft.start()
  } catch (error) {
    await end()
    throw error
  }
  return { weft, service, [Symbol.asyncDispose]: end }
}
