/** Who takes part in the tour, handed to each act. */
import type { ServiceProcess } from '../runner/service-process.ts'
import type { WeftProcess } from '../runner/weft-process.ts'
import type { Paper } from './paper.ts'

export interface Cast {
  readonly weft: WeftProcess
  readonly service: ServiceProcess
  readonly paper: Paper
}
