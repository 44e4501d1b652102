/** What `GET /runs/{id}` answers, as far as examples and tour look at it. */
import type { RunView } from '@weft/engine'

export type RunDetail = Pick<RunView, 'id' | 'status' | 'waitingFor' | 'output' | 'error' | 'steps'>

export const isFinished = ({ status }: Pick<RunDetail, 'status'>): boolean =>
  status === 'completed' || status === 'failed' || status === 'cancelled'
