/**
 * The contract of every loop (R13): `start()` resolves when the loop is ready, `stop()` drains what is in flight and
 * resolves; both may be called again without harm. Loops that poll also offer `tick()`, one turn, for tests.
 */
export interface Service {
  readonly name: string
  start(): Promise<void>
  stop(): Promise<void>
}
