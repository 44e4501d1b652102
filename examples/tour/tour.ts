/** The tour: four acts on a terminal, the first alone without one. */
import { approvalAct } from './act-approval.ts'
import { killAct } from './act-kill.ts'
import { loadAct } from './act-load.ts'
import { slackAct } from './act-slack.ts'
import type { Cast } from './cast.ts'

const ACTS = [slackAct, killAct, approvalAct, loadAct]

/** `isEnding`: the person has left, and what breaks then is no news. */
export async function tour(cast: Cast, isEnding: () => boolean): Promise<void> {
  const { paper } = cast
  const release = paper.holdKeys()
  try {
    for (const act of paper.isTerminal ? ACTS : ACTS.slice(0, 1)) {
      await act(cast)
      await paper.rest()
    }
  } catch (error) {
    if (!isEnding())
      paper.paragraph(`The tour broke off: ${error instanceof Error ? error.message : error}`, 'red')
  } finally {
    release()
  }
}
