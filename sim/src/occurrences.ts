/** What happened in a world beside its faults, and how often: a world in which something never occurs says nothing of it. */
export const OCCURRENCES = [
  // Messages by correlation.
  'message sent',
  'message given by its sender',
  'message to several runs',
  'message given by a coordinator',
  'message taken',
  'message refused',
  'message expired',
  'message found by a sweep',
  'message looked for after a takeover',
  'sender killed before its look',
  // Submits through an API process that may die.
  'submit',
  'submit asked for again',
  'beginning told again',
  'killed after a run had begun',
  // Runs that follow from others.
  'run of onFailure',
  'run of onFailure by a later owner',
  'onFailure that names nothing',
  'child of a stored workflow',
  'child by a later owner',
  'child refused',
  'owner killed after a failure',
  'owner killed after a wait opened',
  'fork',
  'replay from a step',
  'fork with a patch',
  'fork asked for again',
  'call refused',
  // Processes that are stopped, as a deployment does.
  'process asked to stop',
  'process stopped',
  // Acts that nobody repeats by himself.
  'worker killed in an act',
  'outcome resolved',
  // Patches under review.
  'review',
  'review approved',
  'review rejected',
  'review refused',
  'review dropped',
] as const

export type Occurrence = (typeof OCCURRENCES)[number]

export class Occurrences {
  readonly counts = new Map<Occurrence, number>(OCCURRENCES.map((name) => [name, 0]))

  add(name: Occurrence, times = 1): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + times)
  }
}
